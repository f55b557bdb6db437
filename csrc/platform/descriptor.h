/* descriptor.h - what an event loop waits for. */
#ifndef FLUX2_PLATFORM_DESCRIPTOR_H
#define FLUX2_PLATFORM_DESCRIPTOR_H

#include <stdint.h>

/* A file descriptor, on Windows a SOCKET. */
typedef intptr_t flux2_descriptor;

#endif
