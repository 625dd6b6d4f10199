/// Counts events by one label. An observation is one atomic addition.
package final class Counter<Label: MetricLabel>: MetricSource {
    private let name: String
    private let help: String
    private let labels: [MetricLabels]
    private let cells: AtomicCells

    /// - Parameter label: the label's name; nil for a metric without one.
    package init(_ name: String, by label: String? = nil, _ help: String) {
        self.name = name
        self.help = help
        labels = Label.allCases.map { value in MetricLabels(label.map { [($0, value.text)] } ?? []) }
        cells = AtomicCells(count: labels.count)
    }

    package func count(_ label: Label) {
        cells.add(1, at: label.rawValue)
    }

    package func write(to text: inout MetricText) {
        text.family(name, .counter, help)
        for (index, labels) in labels.enumerated() { text.sample(cells[index], labels) }
    }
}

extension Counter where Label == Unlabelled {
    package func count() {
        count(.all)
    }
}
