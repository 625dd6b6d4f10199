import Synchronization

/// Counts events by labels that configuration bounds, and one more of ours.
///
/// A series begins with its first event, except where it is listed from the start. Once there are as many as a scrape may
/// show, the events of all further series count together in one whose labels are all `_other`; which series has a line of
/// its own never changes, so that no counter goes back. An observation is an addition under a lock that nobody holds for
/// long.
package final class CounterTable<Column: MetricLabel>: MetricSource {
    private struct Row {
        let labels: MetricLabels
        let cells: AtomicCells
        /// Whether it is shown before anything happened.
        let isListed: Bool
    }

    private struct Cell {
        let row: Int32
        let column: Int32
    }

    private struct State {
        var rows: [Row] = []
        /// Cells that have a line of their own, and those that share one.
        var own: [Cell] = []
        var shared: [Cell] = []
    }

    private let name: String
    private let help: String
    private let rowLabels: [String]
    private let columns: [MetricLabels]
    private let other: MetricLabels
    private let bound: Int
    private let state = Mutex(State())

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
        self.rowLabels = rowLabels
        columns = Column.allCases.map { value in MetricLabels(column.map { [($0, value.text)] } ?? []) }
        other = MetricLabels((rowLabels + (column.map { [$0] } ?? [])).map { ($0, "_other") })
        self.bound = bound
        for (number, row) in rows.enumerated() { append(row: row, listed: listed.contains(number)) }
    }

    /// Adds a row behind the last one.
    package func append(row values: [String], listed isListed: Bool = false) {
        let labels = MetricLabels(zip(rowLabels, values).map { ($0, $1) })
        state.withLock { state in
            state.rows.append(Row(labels: labels, cells: AtomicCells(count: columns.count), isListed: isListed))
            guard isListed else { return }
            for column in columns.indices {
                show(Cell(row: Int32(state.rows.count - 1), column: Int32(column)), &state)
            }
        }
    }

    package func count(row number: Int, _ column: Column) {
        state.withLock { state in
            let row = state.rows[number]
            guard row.cells.add(1, at: column.rawValue) == 0, !row.isListed else { return }
            show(Cell(row: Int32(number), column: Int32(column.rawValue)), &state)
        }
    }

    private func show(_ cell: Cell, _ state: inout State) {
        if state.own.count < bound { state.own.append(cell) } else { state.shared.append(cell) }
    }

    package func write(to text: inout MetricText) {
        let state = state.withLock { $0 }
        func value(_ cell: Cell) -> UInt64 { state.rows[Int(cell.row)].cells[Int(cell.column)] }
        text.family(name, .counter, help)
        for cell in state.own { text.sample(value(cell), state.rows[Int(cell.row)].labels, columns[Int(cell.column)]) }
        guard !state.shared.isEmpty else { return }
        text.sample(state.shared.reduce(0) { $0 + value($1) }, other)
        text.omit(state.shared.count)
    }
}

extension CounterTable where Column == Unlabelled {
    package func count(row: Int) {
        count(row: row, .all)
    }
}
