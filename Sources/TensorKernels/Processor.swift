internal import CKernels

/// Makes the calling thread treat denormal numbers as zero.
///
/// Every thread that computes calls it.
public func flushDenormalsOnThisThread() {
  vd_kernel_flush_denormals()
}

/// Cores that this process may run on; nil where the system does not tell.
public func allowedProcessorCount() -> Int? {
  let count = Int(vd_kernel_allowed_processors())
  return count > 0 ? count : nil
}
