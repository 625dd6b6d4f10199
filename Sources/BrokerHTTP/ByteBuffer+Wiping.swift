import Glibc
import NIOCore

extension ByteBuffer {
    /// Overwrites the bytes that can be read, also in the buffers that this one shares its memory with: those from which a
    /// connection cut it, which have them behind them.
    func wipe() {
        withUnsafeReadableBytes { bytes in
            guard let start = bytes.baseAddress else { return }
            // Not as a change of this buffer: where the memory is shared that would be one of a copy.
            explicit_bzero(UnsafeMutableRawPointer(mutating: start), bytes.count)
        }
    }
}

extension [UInt8] {
    /// Overwrites all of it, in place where nobody else holds it.
    mutating func wipe() {
        withUnsafeMutableBytes { bytes in
            if let start = bytes.baseAddress { explicit_bzero(start, bytes.count) }
        }
    }
}
