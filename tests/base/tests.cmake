holo_test(base base base)
