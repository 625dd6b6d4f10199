// A terminal that does not show what is typed. In C, since a signal's handler restores it.
#ifndef DAYPASS_CPROCESS_TERMINAL_H
#define DAYPASS_CPROCESS_TERMINAL_H

#include <signal.h>
#include <stddef.h>
#include <termios.h>

// What daypass_hide_typing changes, as it was.
struct daypass_shown {
    int descriptor;
    struct termios terminal;
    struct sigaction actions[4];
};

// Not a variable of the file: Swift leaves such a one out.
static inline struct daypass_shown *daypass_shown(void) {
    static struct daypass_shown shown;
    return &shown;
}

// Of the signals that end a process which waits for what somebody types, one; 0 behind the last.
static inline int daypass_ending_signal(size_t index) {
    static const int endings[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    return index < sizeof endings / sizeof endings[0] ? endings[index] : 0;
}

static inline void daypass_restore_terminal(void) {
    // What was typed up to now is nobody else's: a shell would show it. Not TCSAFLUSH, which waits for output as well.
    tcflush(daypass_shown()->descriptor, TCIFLUSH);
    tcsetattr(daypass_shown()->descriptor, TCSANOW, &daypass_shown()->terminal);
}

static inline void daypass_end_hidden(int number) {
    daypass_restore_terminal();
    // Its action is the default again: it ends the process when this returns.
    raise(number);
}

// Has a terminal not show what is typed, and make no signals of keys, until daypass_show_typing, or until one of the
// signals above ends the process: whoever ended it would be left with a terminal that hides. For one thread at a time.
// Returns 0, or -1 with errno set.
static inline int daypass_hide_typing(int descriptor) {
    struct daypass_shown *shown = daypass_shown();
    shown->descriptor = descriptor;
    if (tcgetattr(descriptor, &shown->terminal) != 0) return -1;
    struct sigaction ending = {.sa_handler = daypass_end_hidden, .sa_flags = SA_RESETHAND};
    sigemptyset(&ending.sa_mask);
    // In the background the terminal is restored as well.
    sigaddset(&ending.sa_mask, SIGTTOU);
    for (size_t i = 0; daypass_ending_signal(i) != 0; i++) {
        sigaction(daypass_ending_signal(i), NULL, &shown->actions[i]);
        if (shown->actions[i].sa_handler != SIG_IGN) sigaction(daypass_ending_signal(i), &ending, NULL);
    }
    struct termios hidden = shown->terminal;
    hidden.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
    return tcsetattr(descriptor, TCSAFLUSH, &hidden);
}

static inline void daypass_show_typing(void) {
    daypass_restore_terminal();
    for (size_t i = 0; daypass_ending_signal(i) != 0; i++) {
        sigaction(daypass_ending_signal(i), &daypass_shown()->actions[i], NULL);
    }
}

#endif
