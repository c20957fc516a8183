foreach(name rows dirs txn damage stale fault)
  holo_test(meta ${name} meta base)
endforeach()
