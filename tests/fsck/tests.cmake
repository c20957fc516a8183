holo_test(fsck tree core remap meta store cuda ecc base)
holo_test(fsck parts core remap meta store cuda ecc base)
holo_test(fsck corpus core remap meta store cuda ecc base)
holo_test(fsck undo core remap meta store cuda ecc base)
