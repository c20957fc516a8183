holo_test(remap map remap store base)
holo_test(remap remap remap store base)
holo_test(remap crash remap store base)
holo_test(remap table remap store base)
