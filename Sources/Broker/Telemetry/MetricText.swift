/// Metrics in Prometheus' text format 0.0.4, as they are written family by family.
package struct MetricText: Sendable {
    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"
    /// A family shows so many series at most; those left out are counted.
    package static let maximumSeries = 10_000

    package enum Kind: String, Sendable {
        case counter, gauge, histogram
    }

    package private(set) var bytes: [UInt8] = []
    /// How many series were left out, of all families together.
    package private(set) var omitted = 0
    private var name: [UInt8] = []
    private var series = 0

    package init() {
        bytes.reserveCapacity(64 * 1024)
    }

    /// Begins a family; what follows belongs to it.
    package mutating func family(_ name: String, _ kind: Kind, _ help: String) {
        self.name = Array(name.utf8)
        series = 0
        bytes += "# HELP \(name) ".utf8
        for byte in help.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): bytes += #"\\"#.utf8
            case UInt8(ascii: "\n"): bytes += #"\n"#.utf8
            default: bytes.append(byte)
            }
        }
        bytes += "\n# TYPE \(name) \(kind.rawValue)\n".utf8
    }

    package mutating func sample(_ value: UInt64, _ labels: MetricLabels = .init(), _ last: MetricLabels = .init()) {
        write("", labels, last) { $0 += String(value).utf8 }
    }

    package mutating func sample(_ value: Double, _ labels: MetricLabels = .init()) {
        write("", labels, .init()) { $0 += Self.text(value).utf8 }
    }

    /// That so many series have no line of their own.
    mutating func omit(_ count: Int) {
        omitted += count
    }

    /// A line of a histogram.
    mutating func part(
        _ suffix: String, _ labels: MetricLabels, _ last: MetricLabels = .init(), _ value: String
    ) {
        write(suffix, labels, last) { $0 += value.utf8 }
    }

    /// As Prometheus reads it: a whole number without a fraction, and its own words for what is none.
    static func text(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if let whole = Int64(exactly: value) { return String(whole) }
        return "\(value)"
    }

    private mutating func write(
        _ suffix: String, _ labels: MetricLabels, _ last: MetricLabels, _ value: (inout [UInt8]) -> Void
    ) {
        guard series < Self.maximumSeries else {
            omitted += 1
            return
        }
        series += 1
        bytes += name
        bytes += suffix.utf8
        if !labels.bytes.isEmpty || !last.bytes.isEmpty {
            bytes.append(UInt8(ascii: "{"))
            bytes += labels.bytes
            if !labels.bytes.isEmpty, !last.bytes.isEmpty { bytes.append(UInt8(ascii: ",")) }
            bytes += last.bytes
            bytes.append(UInt8(ascii: "}"))
        }
        bytes.append(UInt8(ascii: " "))
        value(&bytes)
        bytes.append(UInt8(ascii: "\n"))
    }
}

/// Something that has metrics to show.
package protocol MetricSource: Sendable {
    /// Takes no lock that an observation waits for longer than it takes to copy a reference.
    func write(to text: inout MetricText)
}
