import Broker
import Testing

/// The text format 0.0.4, to the byte.
@Suite struct MetricTextTests {
    private enum Colour: Int, MetricLabel {
        case red, lightBlue
    }

    @Test func `help, type and labels are escaped as the format asks`() {
        var text = MetricText()
        text.family("daypass_x_total", .counter, "One \\ and\ntwo \"quoted\"")
        text.sample(UInt64(3), MetricLabels([("rule", "a\"b\\c\nd"), ("issuer", "é")]))
        #expect(
            text.string == #"""
                # HELP daypass_x_total One \\ and\ntwo "quoted"
                # TYPE daypass_x_total counter
                daypass_x_total{rule="a\"b\\c\nd",issuer="é"} 3

                """#)
    }

    @Test(arguments: [
        (0.0, "0"), (1, "1"), (-2.5, "-2.5"), (1_800_000_000.25, "1800000000.25"), (.infinity, "+Inf"),
        (-.infinity, "-Inf"), (.nan, "NaN"), (0.00005, "5e-05"),
    ])
    func `a value is written as Prometheus reads it`(_ value: Double, _ expected: String) {
        var text = MetricText()
        text.family("daypass_x", .gauge, "x")
        text.sample(value)
        #expect(text.string.hasSuffix("\ndaypass_x \(expected)\n"))
    }

    @Test func `a counter shows every value of its label from the start`() {
        let counter = Broker.Counter<Colour>("daypass_x_total", by: "colour", "x")
        counter.count(.lightBlue)
        #expect(
            counter.lines == [
                "# HELP daypass_x_total x", "# TYPE daypass_x_total counter", #"daypass_x_total{colour="red"} 0"#,
                #"daypass_x_total{colour="light_blue"} 1"#,
            ])
    }

    @Test func `a histogram counts up to and with each bound, and all of them in +Inf`() {
        let histogram = Histogram<Unlabelled>("daypass_x", bounds: [1, 2, 4], "x")
        for value: UInt64 in [0, 1, 2, 3, 4, 5, 100] { histogram.observe(value, .all) }
        #expect(
            histogram.lines.dropFirst(2) == [
                #"daypass_x_bucket{le="1"} 2"#, #"daypass_x_bucket{le="2"} 3"#, #"daypass_x_bucket{le="4"} 5"#,
                #"daypass_x_bucket{le="+Inf"} 7"#, "daypass_x_sum 115", "daypass_x_count 7",
            ])
    }

    @Test func `times are shown in seconds, and one before zero counts as zero`() {
        let histogram = Histogram<Unlabelled>(seconds: "daypass_x_seconds", "x")
        for time: Duration in [.microseconds(50), .microseconds(51), .seconds(-1), .seconds(11), .seconds(Int64.max)] {
            histogram.observe(time, .all)
        }
        let lines = histogram.lines
        #expect(lines.contains(#"daypass_x_seconds_bucket{le="5e-05"} 2"#))
        #expect(lines.contains(#"daypass_x_seconds_bucket{le="0.0001"} 3"#))
        #expect(lines.contains(#"daypass_x_seconds_bucket{le="10"} 3"#))
        #expect(lines.contains(#"daypass_x_seconds_bucket{le="+Inf"} 5"#))
        #expect(lines.contains("daypass_x_seconds_sum 4000000011.000101"))
    }

    @Test func `a scrape agrees with itself while others observe`() async {
        let histogram = Histogram<Unlabelled>("daypass_x", bounds: [10, 100], "x")
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<4 {
                group.addTask { for value in 0..<20_000 { histogram.observe(UInt64(value % 200 + task), .all) } }
            }
            for _ in 0..<100 {
                let counts = histogram.lines.dropFirst(2).compactMap {
                    $0.split(separator: " ").last.flatMap { Int($0) }
                }
                // The buckets, the sum, and the count.
                #expect(counts[0] <= counts[1] && counts[1] <= counts[2] && counts[2] == counts.last)
            }
        }
        #expect(histogram.lines.last == "daypass_x_count 80000")
    }

    @Test func `a family shows ten thousand series, and says how many it left out`() {
        var text = MetricText()
        text.family("daypass_x", .gauge, "x")
        for index in 0..<10_005 { text.sample(UInt64(index), MetricLabels([("n", "\(index)")])) }
        text.family("daypass_y", .gauge, "y")
        text.sample(UInt64(1))
        #expect(text.string.split(separator: "\n").count { $0.hasPrefix("daypass_x") } == 10_000)
        #expect(text.string.hasSuffix("daypass_y 1\n"))
        #expect(text.omitted == 5)
    }
}

extension MetricText {
    var string: String { String(decoding: bytes, as: UTF8.self) }
}

extension MetricSource {
    /// What a scrape shows of it.
    var lines: [String] {
        var text = MetricText()
        write(to: &text)
        return text.string.split(separator: "\n").map(String.init)
    }
}
