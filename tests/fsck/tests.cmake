holo_test(fsck tree core remap meta store cuda ecc base)
