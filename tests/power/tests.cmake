# Power cuts of whole stores. trace.c defines open, pwrite and their like: they win over libc's in these programs.
holo_test(power crash core remap meta store cuda ecc base)
target_sources(test_power_crash PRIVATE power/trace.c power/disk.c power/world.c power/harm.c)
holo_test(power repair core remap meta store cuda ecc base)
target_sources(test_power_repair PRIVATE power/trace.c power/disk.c power/world.c power/harm.c)
holo_test(power mkfs core remap meta store cuda ecc base)
target_sources(test_power_mkfs PRIVATE power/trace.c power/disk.c)
holo_test(power undo core remap meta store cuda ecc base)
target_sources(test_power_undo PRIVATE power/trace.c power/disk.c)
