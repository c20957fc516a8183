/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log.c: messages to standard error or syslog. The process-wide switches are set before threads start. */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <syslog.h>

static const char *_Atomic log_name = "holofs";
static atomic_int log_max = LOG_LEVEL_INFO;
static atomic_bool use_syslog;

void log_set_name(const char *name)
{
    log_name = name;
}

void log_set_level(enum log_level level)
{
    log_max = (int)level;
}

void log_to_syslog(void)
{
    openlog(log_name, LOG_PID, LOG_DAEMON);
    use_syslog = true;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    static const int priority[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
    if ((int)level > log_max)
        return;
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (use_syslog)
        syslog(priority[level], "%s", line);
    else
        fprintf(stderr, "%s: %s\n", log_name, line);
}
