/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stop.c: signals. SIGTERM, SIGINT and SIGHUP ask for an orderly end: a number in an eventfd, that the receiver sees however
 * busy or idle it is. What would end or stop the process by accident is ignored: a mount whose program is gone is dead.
 *
 * A handler needs something static to write to; it is set once, before there is a mount.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fuse/fuse.h"

static int fd_of_handler = -1;

static void on_signal(int sig)
{
    int e = errno;
    (void)sig;
    stop_request(fd_of_handler);
    errno = e;
}

void stop_request(int fd)
{
    uint64_t one = 1;
    ssize_t n = write(fd, &one, sizeof(one));
    (void)n; /* it can only be full of requests */
}

unsigned stop_requests(int fd)
{
    uint64_t n;
    return read(fd, &n, sizeof(n)) == sizeof(n) ? (unsigned)n : 0;
}

void stop_ignore_accidents(void)
{
    static const int ignored[] = { SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGXFSZ, SIGXCPU, SIGTSTP, SIGTTIN, SIGTTOU };
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
}

int stop_init(void)
{
    static const int asked[] = { SIGTERM, SIGINT, SIGHUP };
    struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    fd_of_handler = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd_of_handler < 0)
        return -errno;
    sigemptyset(&sa.sa_mask);
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        if (sigaction(asked[i], &sa, NULL))
            return -errno;
    }
    return fd_of_handler;
}
