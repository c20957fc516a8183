# Programs of tools/ that need no mount.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  add_test(NAME tools.bench_ecc COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/tools/bench_ecc.py $<TARGET_FILE:holo>)
  add_test(NAME tools.bench_remap COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/tools/bench_remap.py $<TARGET_FILE:holo>)
  add_test(NAME tools.dump COMMAND ${Python3_EXECUTABLE} -W ignore ${CMAKE_CURRENT_SOURCE_DIR}/tools/dump.py $<TARGET_FILE:holo>
                                   ${CMAKE_CURRENT_SOURCE_DIR}/golden)
endif()
