/// How often values fell below fixed bounds, by one label. An observation is two atomic additions.
package final class Histogram<Label: MetricLabel>: MetricSource {
    private let name: String
    private let help: String
    private let bounds: [UInt64]
    /// By what a value is divided when it is shown.
    private let unit: Double
    private let labels: [MetricLabels]
    private let boundLabels: [MetricLabels]
    /// For each label its buckets, the one without a bound, and the sum.
    private let cells: AtomicCells

    /// - Parameters:
    ///   - label: the label's name; nil for a metric without one.
    ///   - bounds: inclusive and ascending, in the unit of what is observed.
    package init(_ name: String, by label: String? = nil, bounds: [UInt64], unit: Double = 1, _ help: String) {
        self.name = name
        self.help = help
        self.bounds = bounds
        self.unit = unit
        labels = Label.allCases.map { value in MetricLabels(label.map { [($0, value.text)] } ?? []) }
        boundLabels =
            bounds.map { MetricLabels([("le", MetricText.text(Double($0) / unit))]) } + [MetricLabels([("le", "+Inf")])]
        cells = AtomicCells(count: labels.count * (bounds.count + 2))
    }

    package func observe(_ value: UInt64, _ label: Label) {
        var bucket = 0
        while bucket < bounds.count, value > bounds[bucket] { bucket += 1 }
        let first = label.rawValue * (bounds.count + 2)
        cells.add(1, at: first + bucket)
        cells.add(value, at: first + bounds.count + 1)
    }

    package func write(to text: inout MetricText) {
        text.family(name, .histogram, help)
        for (index, labels) in labels.enumerated() {
            let first = index * (bounds.count + 2)
            // Counted from what is read here, so that a scrape agrees with itself whatever is observed meanwhile.
            var total: UInt64 = 0
            for (bucket, bound) in boundLabels.enumerated() {
                total += cells[first + bucket]
                text.part("_bucket", labels, bound, String(total))
            }
            text.part("_sum", labels, .init(), MetricText.text(Double(cells[first + bounds.count + 1]) / unit))
            text.part("_count", labels, .init(), String(total))
        }
    }
}

extension Histogram {
    /// A histogram of times, shown in seconds: from 50 µs to 10 s.
    package convenience init(seconds name: String, by label: String? = nil, _ help: String) {
        let microseconds: [UInt64] = [
            50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
            2_500_000, 5_000_000, 10_000_000,
        ]
        self.init(name, by: label, bounds: microseconds.map { $0 * 1000 }, unit: 1e9, help)
    }

    /// A time; one before zero, which no clock that only goes forward measures, counts as zero.
    package func observe(_ time: Duration, _ label: Label) {
        let (seconds, attoseconds) = time.components
        guard seconds >= 0, attoseconds >= 0 else { return observe(0, label) }
        // Over a hundred years in one step are not worth a trap.
        observe(UInt64(min(seconds, 4_000_000_000)) * 1_000_000_000 + UInt64(attoseconds) / 1_000_000_000, label)
    }
}
