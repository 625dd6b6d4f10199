import Broker
@testable import BrokerHTTP
import BrokerTesting
import Foundation
import NIOEmbedded
import Testing

@Suite struct `What the connections of an event loop share` {
    @Test(arguments: [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"), (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
        (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ])
    func `writes a date as HTTP does`(_ second: Int64, _ text: String) {
        #expect(HTTPDate.text(second) == text)
    }

    @Test func `writes every date as others do`() {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = TimeZone(secondsFromGMT: 0)
        formatter.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
        for day in stride(from: Int64(0), to: 80_000, by: 11) {
            let second = day * 86400 + day * 7919 % 86400
            #expect(HTTPDate.text(second) == formatter.string(from: Date(timeIntervalSince1970: Double(second))))
        }
    }

    @Test func `a date is made anew when the second changes, also backwards`() {
        let state = EventLoopState(LoopLoad(EmbeddedEventLoop(), clock: ManualClock()))
        let now = Date(timeIntervalSince1970: 1_000_000_000.9)
        #expect(state.date(at: now) == "Sun, 09 Sep 2001 01:46:40 GMT")
        #expect(state.date(at: now.addingTimeInterval(0.2)) == "Sun, 09 Sep 2001 01:46:41 GMT")
        #expect(state.date(at: now.addingTimeInterval(-1)) == "Sun, 09 Sep 2001 01:46:39 GMT")
        #expect(state.date(at: Date(timeIntervalSince1970: -5)) == "Thu, 01 Jan 1970 00:00:00 GMT")
        #expect(state.date(at: .distantFuture).hasSuffix("GMT"))
    }

    @Test func `trace ids have the time in front, and never repeat`() {
        let state = EventLoopState(LoopLoad(EmbeddedEventLoop(), clock: ManualClock()))
        let now = Date(timeIntervalSince1970: 1_700_000_000.123)
        let ids = (0..<2000).map { _ in TraceID(state.trace(at: now)) }
        #expect(Set(ids).count == ids.count)
        for id in ids {
            #expect(TraceID(parsing: id.description) == id)
            #expect(abs(id.time.timeIntervalSince(now)) < 0.001)
        }
        // Each of the 80 other bits is drawn.
        let digits = (12..<32).map { index in Set(ids.map { Array($0.description.utf8)[index] }) }
        #expect(digits.allSatisfy { $0.count == 16 })
    }

    private func requirement(
        _ memo: inout RequirementMemo, scope: String? = nil, model: String? = nil, query: String? = nil
    ) -> Requirement? {
        func with<Value>(_ text: String?, _ body: (UnsafeRawBufferPointer?) -> Value) -> Value {
            guard let text else { return body(nil) }
            return Array(text.utf8).withUnsafeBytes { body($0) }
        }
        var copy = memo
        defer { memo = copy }
        return with(scope) { scope in
            with(model) { model in
                with(query) { query in copy.requirement(.init(scope: scope, model: model, query: query)) }
            }
        }
    }

    @Test func `a requirement that was read before is the same, and one from elsewhere is another`() {
        var memo = RequirementMemo()
        let sources: [(String?, String?, String?)] = [
            (nil, nil, nil), ("a", nil, nil), (nil, "a", nil), (nil, nil, "scope=a"), ("a", nil, ""), (nil, nil, ""),
            ("b", nil, "scope=a"), ("a b", "c,d", "scope=e&model=f"), ("a\\b", nil, nil), (nil, nil, "scope=%zz"),
            (nil, nil, "scope=a&scope=b"), ("ab", "c", nil), ("a", "bc", nil),
        ]
        for _ in 0..<3 {
            for (scope, model, query) in sources {
                let expected = VerifyQuestion.requirement(
                    scopes: scope.map { [$0] } ?? [], models: model.map { [$0] } ?? [], query: query)
                #expect(requirement(&memo, scope: scope, model: model, query: query) == expected)
            }
        }
        #expect(memo.count == sources.count)
    }

    @Test func `requirements are kept within bounds`() {
        var memo = RequirementMemo()
        for number in 0..<100 {
            #expect(requirement(&memo, scope: "s\(number)")?.scopes.map(\.description) == ["s\(number)"])
        }
        #expect(memo.count == RequirementMemo.capacity)
        var another = RequirementMemo()
        let long = (0..<200).map { "m\($0)" }.joined(separator: " ")
        // No further than one too many is read.
        #expect(requirement(&another, model: long)?.models.count == Requirement.maximumModels + 1)
        #expect(another.count == 0)
    }
}
