import FoundationEssentials

/// The version of this program.
package enum BuildVersion {
    package static let text = "0.1.0"
}

/// The process itself, under the names that other programs use too.
struct ProcessMetrics: MetricSource {
    private let start: Date
    private let build = MetricLabels([("version", BuildVersion.text)])

    init(start: Date) {
        self.start = start
    }

    func write(to text: inout MetricText) {
        text.family("daypass_build_info", .gauge, "1, with the version as a label.")
        text.sample(1.0, build)
        text.family("process_start_time_seconds", .gauge, "When the process started.")
        text.sample(start.timeIntervalSince1970)
        guard let resident = Self.residentBytes else { return }
        text.family("process_resident_memory_bytes", .gauge, "Memory that the process has in RAM.")
        text.sample(resident)
    }

    /// From proc(5), `status`: `VmRSS:    12345 kB`. Nil where there is no such file.
    private static var residentBytes: UInt64? {
        guard let data = try? Data(contentsOf: URL(filePath: "/proc/self/status")) else { return nil }
        let lines = String(decoding: data, as: UTF8.self).split(separator: "\n")
        guard let line = lines.first(where: { $0.hasPrefix("VmRSS:") }) else { return nil }
        return UInt64(line.filter { ("0"..."9").contains($0) }).map { $0 * 1024 }
    }
}
