// libdeflate, for inflating whole gzipped files 2.5 times as fast as zlib does.
#include <libdeflate.h>
