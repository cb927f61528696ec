// The system's zlib (zlib1g-dev), for permessage-deflate.
#include <zlib.h>
