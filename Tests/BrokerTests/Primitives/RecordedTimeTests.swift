import Broker
import Foundation
import Testing

@Suite struct RecordedTimeTests {
    @Test(arguments: [
        (0, "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"),
        (951_782_399_999, "2000-02-28T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"), (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"), (2_147_483_648_000, "2038-01-19T03:14:08.000Z"),
        (1_700_000_000_250, "2023-11-14T22:13:20.250Z"), (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ])
    func `a moment has one text, which is read back`(_ milliseconds: Int, _ text: String) throws {
        let time = RecordedTime(Date(timeIntervalSince1970: Double(milliseconds) / 1000))
        #expect(time.milliseconds == Int64(milliseconds))
        #expect(time.text == text)
        #expect(RecordedTime(parsing: text) == time)
    }

    @Test func `the text is that of the system's own formatter, through four centuries`() {
        let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
        for day in 0..<146_097 {
            let date = Date(timeIntervalSince1970: Double(day) * 86_400 + 45_296.5)
            let text = RecordedTime(date).text
            guard text == date.formatted(style), RecordedTime(parsing: text)?.date == date else {
                Issue.record("\(text) is not \(date.formatted(style))")
                return
            }
        }
    }

    @Test(arguments: [1e300, -1e300, .infinity, -.infinity, .nan])
    func `a moment that no text can say is the nearer end`(_ seconds: Double) {
        let text = RecordedTime(Date(timeIntervalSince1970: seconds)).text
        #expect(text == (seconds > 0 ? "9999-12-31T23:59:59.999Z" : "0000-01-01T00:00:00.000Z"))
    }

    @Test(arguments: [
        "", "2023-11-14T22:13:20Z", "2023-11-14T22:13:20.25Z", "2023-11-14T22:13:20.2500Z", "2023-11-14t22:13:20.250Z",
        "2023-11-14T22:13:20.250z", "2023-11-14 22:13:20.250Z", "2023-11-14T22:13:20.250+", "2023-02-29T00:00:00.000Z",
        "2100-02-29T00:00:00.000Z", "2023-13-01T00:00:00.000Z", "2023-00-01T00:00:00.000Z", "2023-01-00T00:00:00.000Z",
        "2023-04-31T00:00:00.000Z", "2023-01-01T24:00:00.000Z", "2023-01-01T00:60:00.000Z", "2023-01-01T00:00:60.000Z",
        "+023-01-01T00:00:00.000Z", "２０23-11-14T22:13:20.25Z",
    ])
    func `any other text is refused`(_ text: String) {
        #expect(RecordedTime(parsing: text) == nil)
    }
}
