// What libFuzzer offers to a program that has a main function of its own; its definition comes with -sanitize=fuzzer.
#ifndef DAYPASS_CFUZZER_H
#define DAYPASS_CFUZZER_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*target)(const uint8_t *data, size_t size));

#endif
