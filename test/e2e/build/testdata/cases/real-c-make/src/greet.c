#include <stdio.h>
int greet(const char *s) { return printf("hello %s\n", s) < 0; }
