internal import CKernels
internal import COneDNN

/// Makes the calling thread treat denormal numbers as zero.
///
/// Every thread that computes calls it.
public func flushDenormalsOnThisThread() {
  vd_kernel_flush_denormals()
}

/// Which cores this process may run on, a bit each; empty where the system does not tell.
public func allowedProcessorMask() -> [UInt8] {
  [UInt8](unsafeUninitializedCapacity: 1024) { mask, count in
    guard let start = mask.baseAddress else { return }
    count = vd_kernel_allowed_processors(start, mask.count)
  }
}

/// Whether the processor multiplies bfloat16 numbers itself; otherwise oneDNN imitates it, slowly.
public var processorHasBFloat16: Bool { vd_dnnl_has_bfloat16() != 0 }
