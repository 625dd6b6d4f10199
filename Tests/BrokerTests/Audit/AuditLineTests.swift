import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

@Suite struct AuditLineTests {
    private static let hostile: ExactString = "ci:\u{1B}[2J\n\r\u{0}\u{202E}\"\\\u{2028}e\u{301}"

    private static func record(
        _ kind: AuditEvent.Kind = .exchangeGranted, subject: ExactString? = hostile, time: Date = Sample.time,
        details: JSONObject = ["claims": ["sub": .string(hostile), "n": .number(0.1)]], hash: [UInt8]? = nil
    ) throws -> AuditRecord {
        let trace = try #require(TraceID(parsing: "0123456789abcdef0123456789abcdef"))
        let event = AuditEvent(
            time: time, trace: trace, kind: kind, issuer: Sample.issuer, subject: subject, rule: "ci-main",
            sessionID: "s1", tokenID: "t1", reason: "why", details: details)
        return AuditRecord(sequence: 7, event: event, hash: hash)
    }

    @Test func `a line has all that a record has, in one order`() throws {
        let line = AuditLine.encode(
            try Self.record(subject: "ci:a", details: ["a": 1], hash: [UInt8](repeating: 0, count: 32)))
        #expect(
            String(decoding: line, as: UTF8.self) == """
                {"sequence":7,"time":"2023-11-14T22:13:20.250Z","trace":"0123456789abcdef0123456789abcdef",\
                "kind":"exchange.granted","issuer":"ci","subject":"ci:a","rule":"ci-main","session":"s1","token":"t1",\
                "reason":"why","details":{"a":1},"hash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}
                """)
    }

    @Test func `what a record does not have is left out`() throws {
        let trace = TraceID(at: Sample.time)
        let event = AuditEvent(
            time: Sample.time, trace: trace, kind: .keyRotated, issuer: nil, subject: nil, details: [:])
        let line = AuditLine.encode(AuditRecord(sequence: 1, event: event))
        #expect(
            String(decoding: line, as: UTF8.self)
                == #"{"sequence":1,"time":"2023-11-14T22:13:20.250Z","trace":"\#(trace)","kind":"key.rotated","details":{}}"#
        )
        let read = try AuditLine.parse(line).event
        #expect(read.issuer == nil && read.subject == nil && read.rule == nil && read.sessionID == nil)
        #expect(read.tokenID == nil && read.reason == nil && read.details == [:])
    }

    @Test(arguments: AuditEvent.Kind.allCases)
    func `a record of every kind is read as it was written, whatever its texts hold`(_ kind: AuditEvent.Kind) throws {
        let record = try Self.record(kind, hash: Array(0..<32))
        let line = AuditLine.encode(record)
        #expect(!line.contains { $0 < 0x20 })
        let read = try AuditLine.parse(line)
        #expect(read.sequence == 7)
        #expect(read.event.kind == kind)
        #expect(read.event.time == Sample.time)
        #expect(read.event.subject == Self.hostile)
        #expect(read.event.details == record.event.details)
        #expect(read.hash == Array(0..<32))
        #expect(AuditLine.encode(read) == line)
    }

    @Test func `details as deep as those that a store keeps are read`() throws {
        var deep: JSONValue = [:]
        for _ in 2..<AuditLine.detailsDepth { deep = ["a": deep] }
        let line = AuditLine.encode(try Self.record(details: ["a": deep]))
        #expect(try AuditLine.encode(AuditLine.parse(line)) == line)
        let tooDeep = AuditLine.encode(try Self.record(details: ["a": ["a": deep]]))
        #expect(throws: AuditLineFailure.self) { try AuditLine.parse(tooDeep) }
    }

    @Test(arguments: [
        ("sequence", "0"), ("sequence", "-1"), ("sequence", "1.5"), ("sequence", "\"7\""),
        ("time", "\"2023-11-14T22:13:20Z\""), ("time", "1"), ("trace", "\"0123\""), ("kind", "\"exchange.lost\""),
        ("issuer", "\"Not A Name\""), ("issuer", "null"), ("subject", "1"), ("rule", "{}"), ("session", "null"),
        ("token", "[]"), ("reason", "true"), ("details", "[]"), ("details", "\"{}\""), ("hash", "\"AAAA\""),
        ("hash", "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\""), ("hash", "null"),
    ])
    func `a member of another form is refused by its name`(_ name: String, _ value: String) throws {
        var members = try JSONReader.readObject(AuditLine.encode(Self.record(hash: Array(0..<32)))).members
        let index = try #require(members.firstIndex { $0.name == ExactString(name) })
        members[index].value = try JSONReader.read(Array(value.utf8))
        let line = JSONObject(uniqueMembers: members).encoded()
        let failure = #expect(throws: AuditLineFailure.self) { try AuditLine.parse(line) }
        guard case .member(let refused) = failure else { return #expect(Bool(false), "\(String(describing: failure))") }
        #expect(refused == ExactString(name))
    }

    @Test(arguments: ["sequence", "time", "trace", "kind", "details"])
    func `a line without what every record has is refused`(_ name: String) throws {
        let members = try JSONReader.readObject(AuditLine.encode(Self.record())).members
        let line = JSONObject(uniqueMembers: members.filter { $0.name != ExactString(name) }).encoded()
        #expect(throws: AuditLineFailure.self) { try AuditLine.parse(line) }
    }

    @Test(arguments: ["", "{", "[]", "{} {}", #"{"sequence":1,"sequence":1}"#])
    func `a line that is not one JSON object is refused`(_ line: String) {
        let failure = #expect(throws: AuditLineFailure.self) { try AuditLine.parse(Array(line.utf8)) }
        guard case .notJSON = failure else { return #expect(Bool(false), "\(String(describing: failure))") }
    }
}
