import Glibc
import NIOCore

/// How many processors this process may run on: fewer than the machine has where it is pinned (`taskset`, or
/// `CPUAffinity=` of systemd). More event loops than that would only take turns.
package enum UsableProcessors {
    package static let count = max(1, min(allowed() ?? System.coreCount, System.coreCount))

    /// From the mask that the kernel shows of the process (proc(5), `Cpus_allowed`: groups of hexadecimal digits).
    private static func allowed() -> Int? {
        guard let file = fopen("/proc/self/status", "re") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 4096)
        while fgets(&line, Int32(line.count), file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            guard text.hasPrefix("Cpus_allowed:") else { continue }
            return text.dropFirst("Cpus_allowed:".count).compactMap(\.hexDigitValue).reduce(0) {
                $0 + $1.nonzeroBitCount
            }
        }
        return nil
    }
}
