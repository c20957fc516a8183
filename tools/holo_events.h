/* SPDX-License-Identifier: GPL-2.0-or-later */
/* holo_events.h: holo events [--follow] [--since TIME] [--json] MNT: what happened to a mounted store. */
#ifndef HOLO_TOOLS_HOLO_EVENTS_H
#define HOLO_TOOLS_HOLO_EVENTS_H

/* argv[0] is "events". 0 or an exit code. */
int holo_events(int argc, char **argv);

#endif
