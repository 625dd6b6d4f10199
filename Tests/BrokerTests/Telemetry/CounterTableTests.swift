import Broker
import Testing

/// Which series are shown, and that no event is lost.
@Suite struct CounterTableTests {
    private enum Colour: Int, MetricLabel {
        case red, blue
    }

    private func table(rows: Int, listed: Range<Int> = 0..<0, bound: Int = 100) -> CounterTable<Colour> {
        CounterTable(
            "daypass_x_total", rowLabels: ["row"], rows: (0..<rows).map { ["r\($0)"] }, column: "colour",
            listed: listed, bound: bound, "x")
    }

    @Test func `a series begins with its first event, or is listed with 0`() {
        let table = table(rows: 3, listed: 0..<1)
        table.count(row: 2, .blue)
        table.count(row: 2, .blue)
        table.count(row: 0, .red)
        #expect(
            table.lines.dropFirst(2) == [
                #"daypass_x_total{row="r0",colour="red"} 1"#, #"daypass_x_total{row="r0",colour="blue"} 0"#,
                #"daypass_x_total{row="r2",colour="blue"} 2"#,
            ])
    }

    @Test func `beyond the bound events share a series, for good`() {
        let table = table(rows: 5, bound: 2)
        for row in 0..<4 { table.count(row: row, .red) }
        let other = #"daypass_x_total{row="_other",colour="_other"}"#
        #expect(table.lines.dropFirst(4) == ["\(other) 2"])
        for row in 0..<5 { table.count(row: row, .red) }
        #expect(
            table.lines.dropFirst(2) == [
                #"daypass_x_total{row="r0",colour="red"} 2"#, #"daypass_x_total{row="r1",colour="red"} 2"#,
                "\(other) 5",
            ])
        var text = MetricText()
        table.write(to: &text)
        #expect(text.omitted == 3)
    }

    @Test func `rows that are listed are bounded as well`() {
        let table = table(rows: 5, listed: 0..<5, bound: 3)
        table.count(row: 4, .blue)
        #expect(table.lines.dropFirst(2).count == 4)
        #expect(table.lines.last == #"daypass_x_total{row="_other",colour="_other"} 1"#)
    }

    @Test func `events of many threads are all counted, each series once, and no counter goes back`() async {
        let table = table(rows: 50, bound: 60)
        func total(_ lines: [String]) -> Int {
            lines.dropFirst(2).reduce(0) { $0 + (Int($1.split(separator: " ").last ?? "") ?? 0) }
        }
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    for index in 0..<20_000 { table.count(row: index % 50, index / 50 % 2 == 0 ? .red : .blue) }
                }
            }
            var seen: [Substring: Int] = [:]
            for _ in 0..<100 {
                for line in table.lines.dropFirst(2) {
                    let parts = line.split(separator: " ")
                    let count = Int(parts[1]) ?? 0
                    #expect(count >= seen[parts[0], default: 0])
                    seen[parts[0]] = count
                }
            }
        }
        #expect(total(table.lines) == 80_000)
        #expect(Set(table.lines).count == 2 + 60 + 1)
    }
}
