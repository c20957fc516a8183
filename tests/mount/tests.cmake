# The C programs of the mount tests. They are run by tests/mount/run.sh, not by ctest: they need a mount.
function(holo_mount_program name)
  list(TRANSFORM ARGN PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/mount/)
  add_executable(mount_${name} ${ARGN})
  target_compile_options(mount_${name} PRIVATE -iquote ${PROJECT_SOURCE_DIR})
  set_target_properties(mount_${name} PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/mount)
endfunction()

holo_mount_program(posix posix.c posix_open.c posix_data.c posix_name.c posix_attr.c posix_share.c)
holo_mount_program(handles handles.c)
holo_mount_program(fsops fsops.c fsops_steps.c)
holo_mount_program(storm storm.c storm_cells.c storm_names.c storm_share.c)
holo_mount_program(many many.c)
