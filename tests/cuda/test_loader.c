/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_loader.c: a module that is missing, broken, foreign, or there. The loader looks once in a process, so each case is a child. */
#include <sys/wait.h>
#include <unistd.h>

#include "cuda/gpu.h"
#include "tests/ecc/helper.h"

/* In a child with HOLOFS_CUDA_MODULE (NULL: not set), does the getter give an engine, and else the reason? */
static void expect(const char *module, const char *build, const char *reason)
{
    fflush(stdout);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char why[128];
        struct cuda_status before, after;
        module ? setenv("HOLOFS_CUDA_MODULE", module, 1) : unsetenv("HOLOFS_CUDA_MODULE");
        build ? setenv("SIM_BUILD", build, 1) : unsetenv("SIM_BUILD");
        cuda_status_get(&before);
        const struct ecc_engine *engine = cuda_engine_get(why, sizeof(why));
        cuda_status_get(&after);
        bool right = !before.present && !after.lost && after.present == (engine != NULL) && (engine != NULL) == (reason == NULL) &&
                     (cuda_runtime_get() != NULL) == (engine != NULL);
        if (!engine)
            right = right && strstr(why, reason) && !strchr(why, '\n') && strcmp(after.why, why) == 0;
        if (!right)
            printf("engine %p, why '%s', status '%s'\n", (const void *)engine, why, after.why);
        fflush(stdout);
        _exit(right ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void without_a_module_the_reason_names_it(void **state)
{
    (void)state;
    expect(NULL, NULL, "libholofs_cuda.so is neither beside the program nor in");
    expect("/nonexistent/module.so", NULL, "HOLOFS_CUDA_MODULE");
}

static void a_file_that_is_no_module_is_refused(void **state)
{
    (void)state;
    expect("/proc/self/exe", NULL, "");
    expect("/etc/passwd", NULL, "");
}

static void a_module_of_another_build_is_refused(void **state)
{
    (void)state;
    expect(SIM_MODULE, "0.0.0-other", "another build");
}

static void a_module_with_a_device_gives_the_engine(void **state)
{
    (void)state;
    expect(SIM_MODULE, NULL, NULL);
}

static void the_module_of_this_build_gives_an_engine_or_a_reason(void **state)
{
    (void)state;
    char why[128] = "";
    const struct ecc_engine *engine = cuda_engine_get(why, sizeof(why));
    struct cuda_status status;
    cuda_status_get(&status);
    assert_int_equal(status.present, engine != NULL);
    if (engine) {
        assert_string_equal(engine->name, "cuda");
        return;
    }
    assert_true(strlen(why) > 0);
    assert_null(strchr(why, '\n'));
    assert_string_equal(status.why, why);
    assert_int_equal(status.memory_bytes, 0);
}

static void a_short_buffer_for_the_reason_is_not_overrun(void **state)
{
    (void)state;
    char why[8];
    memset(why, 'x', sizeof(why));
    if (!cuda_engine_get(why, 4))
        assert_true(strlen(why) <= 3);
    assert_int_equal(why[4], 'x');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_module_the_reason_names_it),
        cmocka_unit_test(a_file_that_is_no_module_is_refused),
        cmocka_unit_test(a_module_of_another_build_is_refused),
        cmocka_unit_test(a_module_with_a_device_gives_the_engine),
        cmocka_unit_test(the_module_of_this_build_gives_an_engine_or_a_reason),
        cmocka_unit_test(a_short_buffer_for_the_reason_is_not_overrun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
