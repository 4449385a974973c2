usage() { echo "usage: logtool"; }
