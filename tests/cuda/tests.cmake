foreach(name kernel gpu loader device)
  holo_test(cuda ${name} cuda ecc base)
endforeach()

# The simulated GPU as a module: whatever opens a GPU can be run with it.
add_library(holofs_sim MODULE cuda/sim_module.c)
target_compile_options(holofs_sim PRIVATE -iquote ${PROJECT_SOURCE_DIR})
target_link_libraries(holofs_sim PRIVATE Threads::Threads)
target_sources(holofs_sim PRIVATE ${PROJECT_SOURCE_DIR}/base/clock.c)
set_target_properties(holofs_sim PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
target_compile_definitions(test_cuda_loader PRIVATE SIM_MODULE="$<TARGET_FILE:holofs_sim>")
add_dependencies(test_cuda_loader holofs_sim)
add_dependencies(test_cuda_device holofs_sim)

# These look for the module that this build made, if it made one; the last proves that the device's test can run and fail.
set_tests_properties(cuda.loader cuda.device PROPERTIES
                     ENVIRONMENT HOLOFS_CUDA_MODULE=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/libholofs_cuda.so)
set_tests_properties(cuda.device PROPERTIES SKIP_RETURN_CODE 77)
add_test(NAME cuda.device_sim COMMAND test_cuda_device quick)
set_tests_properties(cuda.device_sim PROPERTIES ENVIRONMENT HOLOFS_CUDA_MODULE=$<TARGET_FILE:holofs_sim>)

# The kernels as nvcc compiled them, as C: only where this build has them.
find_package(Python3 COMPONENTS Interpreter)
if(TARGET holo_gpu_module AND Python3_FOUND)
  file(GLOB gpu_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cuda/*.h)
  set(ptx_sources)
  foreach(m RANGE 2 20 2)
    set(ptx ${CMAKE_CURRENT_BINARY_DIR}/kernels_${m}.ptx)
    set(source ${CMAKE_CURRENT_BINARY_DIR}/kernels_${m}.c)
    set(translate ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/cuda/ptx2c.py)
    add_custom_command(OUTPUT ${source}
                       COMMAND ${NVCC} -std=c++17 -O3 -Xcompiler=-iquote,${PROJECT_SOURCE_DIR} -DGPU_M=${m} -gencode arch=compute_90,code=compute_90
                               -ptx ${PROJECT_SOURCE_DIR}/cuda/kernels.cu -o ${ptx}
                       COMMAND ${translate} ${m} ${ptx} ${source}
                       DEPENDS ${PROJECT_SOURCE_DIR}/cuda/kernels.cu ${gpu_headers} cuda/ptx2c.py COMMENT "kernels of m = ${m} as C" VERBATIM)
    list(APPEND ptx_sources ${source})
  endforeach()
  set_source_files_properties(${ptx_sources} PROPERTIES COMPILE_OPTIONS "-O0;-g0;-w")
  holo_test(cuda ptx cuda ecc base)
  target_sources(test_cuda_ptx PRIVATE ${ptx_sources})
endif()
