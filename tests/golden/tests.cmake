# Stores made by older builds.
holo_test(golden golden core remap meta store cuda ecc base)
target_sources(test_golden_golden PRIVATE power/trace.c)
target_compile_definitions(test_golden_golden PRIVATE GOLDEN="${CMAKE_CURRENT_SOURCE_DIR}/golden")
