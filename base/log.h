/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log.h: messages for people. To standard error until log_to_syslog() is called, to syslog (daemon facility)
 * afterwards. Log once, where most is known; above that only return the code.
 */
#ifndef HOLO_BASE_LOG_H
#define HOLO_BASE_LOG_H

enum log_level { LOG_LEVEL_ERR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* One line, without newline at its end. Thread-safe. */
void log_msg(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_err(...) log_msg(LOG_LEVEL_ERR, __VA_ARGS__)
#define log_warn(...) log_msg(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_msg(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* The name before each line on standard error, and the syslog identity. @name must live for ever. */
void log_set_name(const char *name);

/* The most verbose level that is written; LOG_LEVEL_INFO at the start. */
void log_set_level(enum log_level level);

void log_to_syslog(void);

#endif
