int main(int argc, char **argv) { return greet(argv[1]); }
