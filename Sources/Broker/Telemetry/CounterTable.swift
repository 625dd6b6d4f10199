import Synchronization

/// Counts events by labels that configuration bounds, and one more of ours.
///
/// A series begins with its first event, except where it is listed from the start. Once there are as many as a scrape may
/// show, the events of all further series count together in one whose labels are all `_other`; which series has a line of
/// its own never changes, so that no counter goes back. An observation is one atomic addition; the first of a series takes
/// a lock as well.
package final class CounterTable<Column: MetricLabel>: MetricSource {
    private struct Series {
        /// Cells that have a line of their own, and those that share one.
        var own: [Int32]
        var shared: [Int32] = []
    }

    private let name: String
    private let help: String
    private let rows: [MetricLabels]
    private let columns: [MetricLabels]
    private let other: MetricLabels
    private let bound: Int
    private let cells: AtomicCells
    private let series: Mutex<Series>
    private let listed: Range<Int>

    /// - Parameters:
    ///   - rowLabels: the names of the labels whose values `rows` has.
    ///   - column: the name of the last label; nil for a table without one.
    ///   - listed: rows that are shown before anything happened, where there is room, so that the first event is seen
    ///     as an increase.
    ///   - bound: how many series are shown by their own name.
    package init(
        _ name: String, rowLabels: [String], rows: [[String]], column: String? = nil, listed: Range<Int> = 0..<0,
        bound: Int = MetricText.maximumSeries - 1, _ help: String
    ) {
        self.name = name
        self.help = help
        self.rows = rows.map { values in MetricLabels(zip(rowLabels, values).map { ($0, $1) }) }
        columns = Column.allCases.map { value in MetricLabels(column.map { [($0, value.text)] } ?? []) }
        other = MetricLabels((rowLabels + (column.map { [$0] } ?? [])).map { ($0, "_other") })
        self.bound = bound
        cells = AtomicCells(count: rows.count * columns.count)
        let listed = listed.lowerBound * columns.count..<listed.upperBound * columns.count
        series = Mutex(
            Series(own: listed.prefix(bound).map(Int32.init), shared: listed.dropFirst(bound).map(Int32.init)))
        self.listed = listed
    }

    package func count(row: Int, _ column: Column) {
        let index = row * columns.count + column.rawValue
        guard cells.add(1, at: index) == 0, !listed.contains(index) else { return }
        series.withLock { series in
            if series.own.count < bound { series.own.append(Int32(index)) } else { series.shared.append(Int32(index)) }
        }
    }

    package func write(to text: inout MetricText) {
        let series = series.withLock { $0 }
        text.family(name, .counter, help)
        for index in series.own {
            let (row, column) = Int(index).quotientAndRemainder(dividingBy: columns.count)
            text.sample(cells[Int(index)], rows[row], columns[column])
        }
        guard !series.shared.isEmpty else { return }
        text.sample(series.shared.reduce(0) { $0 + cells[Int($1)] }, other)
        text.omit(series.shared.count)
    }
}

extension CounterTable where Column == Unlabelled {
    package func count(row: Int) {
        count(row: row, .all)
    }
}
