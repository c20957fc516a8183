/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * err.h: holofs error codes.
 *
 * Every function that can fail returns 0 (or a count) or a negative code. Codes below 4096 are errno
 * values; those from HOLO_EBASE on are holofs reasons, which keep their numbers for ever. They are turned
 * into an errno only at the outermost boundary (FUSE replies, exit codes), by holo_errno().
 */
#ifndef HOLO_BASE_ERR_H
#define HOLO_BASE_ERR_H

#include <errno.h>

enum { HOLO_EBASE = 4096 };

/* X(name, number, errno, text) */
#define HOLO_ERRORS(X) \
    X(HOLO_EFORMAT, 4097, EINVAL, "not a holofs store") \
    X(HOLO_EVERSION, 4098, EPROTONOSUPPORT, "format is newer than this program") \
    X(HOLO_EFEATURE, 4099, EPROTONOSUPPORT, "store uses a feature this program does not know") \
    X(HOLO_EVOTE, 4100, EUCLEAN, "fewer than three superblock copies agree") \
    X(HOLO_ESUM, 4101, EIO, "checksum mismatch") \
    X(HOLO_EPARITY, 4102, EIO, "more blocks lost than parity can rebuild") \
    X(HOLO_ELOST, 4103, EIO, "data lost") \
    X(HOLO_EBUSYSTORE, 4104, EBUSY, "store is in use by another process") \
    X(HOLO_ECORRUPT, 4105, EUCLEAN, "structure is damaged") \
    X(HOLO_ERINGFULL, 4106, ENOSPC, "ring is full") \
    X(HOLO_ETRUNC, 4107, EUCLEAN, "input ends too early") \
    X(HOLO_ENOENGINE, 4108, ENODEV, "parity engine is not available on this machine") \
    X(HOLO_ENESTED, 4109, EINVAL, "store and mount point contain each other") \
    X(HOLO_ESTALE, 4110, ESTALE, "index does not match the log") \
    X(HOLO_EREMAPFULL, 4111, ENOSPC, "no spare block left") \
    X(HOLO_ECODEC, 4112, EIO, "compressed data cannot be expanded") \
    X(HOLO_EUNDO, 4113, EUCLEAN, "taking back a repair did not come to its end: run holofsck --undo-apply again")

#define HOLO_ERROR_ENUM(name, number, err, text) name = (number),
enum holo_error { HOLO_ERRORS(HOLO_ERROR_ENUM) };
#undef HOLO_ERROR_ENUM

/* Text for a code as returned (negative) or negated. Static storage, thread-safe. */
const char *holo_strerror(int code);

/* The positive errno that stands for a negative code; 0 for codes >= 0. */
int holo_errno(int code);

#endif
