foreach(name kernel gpu loader device)
  holo_test(cuda ${name} cuda ecc base)
endforeach()
# These two look for the module that this build made, if it made one.
set_tests_properties(cuda.loader cuda.device PROPERTIES
                     ENVIRONMENT HOLOFS_CUDA_MODULE=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/libholofs_cuda.so)
set_tests_properties(cuda.device PROPERTIES SKIP_RETURN_CODE 77)
