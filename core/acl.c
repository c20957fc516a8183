/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * acl.c: POSIX ACLs as the kernel stores them in xattrs (linux/posix_acl_xattr.h): u32 version 2, then entries of
 * u16 tag, u16 permissions, u32 id. The rules are those of IEEE 1003.1e draft 17, 23.1.2 and 23.1.5. The
 * kernel checks permissions (default_permissions); here ACL and mode bits are kept in step.
 */
#include <errno.h>

#include "base/bytes.h"
#include "core/cache.h"

enum { ACL_HEADER = 4, ACL_ENTRY = 8, ACL_VERSION = 2 };
enum { TAG_USER_OBJ = 1, TAG_USER = 2, TAG_GROUP_OBJ = 4, TAG_GROUP = 8, TAG_MASK = 16, TAG_OTHER = 32 };

/* The entries an ACL must have one of, or may have one of. */
struct acl_refs {
    uint8_t *user, *group, *other, *mask; /* where their permissions are */
    bool extended;                        /* named users or groups */
};

static int find_entries(uint8_t *acl, size_t len, struct acl_refs *r)
{
    *r = (struct acl_refs){ 0 };
    if (len < ACL_HEADER || (len - ACL_HEADER) % ACL_ENTRY || le32_get(acl) != ACL_VERSION)
        return -EINVAL;
    for (size_t off = ACL_HEADER; off < len; off += ACL_ENTRY) {
        uint8_t *perm = acl + off + 2;
        switch (le16_get(acl + off)) {
        case TAG_USER_OBJ:
            r->user = perm;
            break;
        case TAG_GROUP_OBJ:
            r->group = perm;
            break;
        case TAG_OTHER:
            r->other = perm;
            break;
        case TAG_MASK:
            r->mask = perm;
            break;
        case TAG_USER:
        case TAG_GROUP:
            r->extended = true;
            break;
        default:
            return -EINVAL;
        }
    }
    return r->user && r->group && r->other ? 0 : -EINVAL;
}

int acl_to_mode(const void *acl, size_t len, uint32_t *mode)
{
    struct acl_refs r;
    if (find_entries((uint8_t *)(uintptr_t)acl, len, &r))
        return -EINVAL;
    uint32_t group = le16_get(r.mask ? r.mask : r.group) & 7u;
    *mode = (*mode & ~0777u) | (le16_get(r.user) & 7u) << 6 | group << 3 | (le16_get(r.other) & 7u);
    return 0;
}

bool acl_is_minimal(const void *acl, size_t len)
{
    struct acl_refs r;
    return find_entries((uint8_t *)(uintptr_t)acl, len, &r) == 0 && !r.extended && !r.mask;
}

int acl_chmod(void *acl, size_t len, uint32_t mode)
{
    struct acl_refs r;
    if (find_entries(acl, len, &r))
        return -EINVAL;
    le16_put(r.user, (uint16_t)(mode >> 6 & 7));
    le16_put(r.mask ? r.mask : r.group, (uint16_t)(mode >> 3 & 7));
    le16_put(r.other, (uint16_t)(mode & 7));
    return 0;
}

static uint32_t limit(uint8_t *perm, uint32_t bits)
{
    uint32_t p = le16_get(perm) & bits & 7;
    le16_put(perm, (uint16_t)p);
    return p;
}

int acl_inherit(void *acl, size_t len, uint32_t *mode, bool *trivial)
{
    struct acl_refs r;
    if (find_entries(acl, len, &r))
        return -EINVAL;
    uint32_t user = limit(r.user, *mode >> 6), other = limit(r.other, *mode);
    uint32_t group = limit(r.mask ? r.mask : r.group, *mode >> 3);
    *mode = (*mode & ~0777u) | user << 6 | group << 3 | other;
    *trivial = !r.extended && !r.mask;
    return 0;
}
