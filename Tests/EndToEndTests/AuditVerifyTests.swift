import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(5))) struct `Verifying the audit trail with the command` {
    private static let marks = (5...30).map {
        AuditMark(sequence: $0, hash: [UInt8](repeating: UInt8($0), count: 32))
    }

    private static let trace = TraceID()

    private static func line(_ sequence: Int64, _ hash: UInt8? = nil) -> String {
        let event = Sample.refusal(trace: trace)
        let bytes = [UInt8](repeating: hash ?? UInt8(sequence), count: 32)
        return String(
            decoding: AuditLine.encode(AuditRecord(sequence: sequence, event: event, hash: bytes)), as: UTF8.self)
    }

    private static let records = (5...30).map {
        AuditRecord(
            sequence: $0, event: Sample.refusal(trace: trace), hash: [UInt8](repeating: UInt8($0), count: 32))
    }
    private static let checkpoints = [made(6), made(20)]

    private static func checkpoint(_ sequence: Int64, _ hash: UInt8? = nil, signature: UInt8 = 0) -> String {
        String(decoding: made(sequence, hash, signature: signature).json.encoded(), as: UTF8.self)
    }

    private static func made(_ sequence: Int64, _ hash: UInt8? = nil, signature: UInt8 = 0) -> Checkpoint {
        let place = Checkpoint.Place(
            sequence: sequence, hash: [UInt8](repeating: hash ?? UInt8(sequence), count: 32), count: 1)
        return Checkpoint(
            number: sequence, place, time: 0, generation: 1, keyID: "k", previous: AuditChain.start,
            signature: [UInt8](repeating: signature, count: 64))
    }

    /// The same stretch again; after ten times from the beginning, since its beginning may be archived; at last it gives up.
    @Test func `waits for its turn, and begins anew where the beginning was archived meanwhile`() async throws {
        try await AdministeredBroker.run { broker in
            let stretch = AuditVerification(after: nil, keys: nil, remembering: nil)
            for (interruptions, calls) in [(1, ["nothing", "3"]), (10, ["nothing", "nothing", "3"])] {
                let reports = calls.dropLast().map { _ in stretch.report(nil, next: 3) }
                broker.fake.setChain(reports + [AuditReport()])
                broker.fake.interruptVerifying(interruptions)
                let before = broker.fake.calls.lines.count
                let done = try await broker.daypass("audit", "verify")
                #expect(done.status == 0, "\(done.error)")
                let made = Array(broker.fake.calls.lines.dropFirst(before))
                #expect(made == calls.map { "verify after=\($0)" })
            }
            broker.fake.setChain((0..<9).map { _ in stretch.report(nil, next: 3) })
            broker.fake.interruptVerifying(1000)
            let never = try await broker.daypass("audit", "verify")
            #expect(never.status != 0 && never.error.contains("begin anew"), "\(never.error)")
        }
    }

    @Test func `goes stretch by stretch to the end, and says what is wrong with 1`() async throws {
        try await AdministeredBroker.run { broker in
            let stretch = AuditVerification(after: nil, keys: nil, remembering: nil)
            broker.fake.setChain([stretch.report(nil, next: 3), stretch.report(nil, next: 5), AuditReport()])
            let intact = try await broker.daypass("audit", "verify")
            #expect(intact.status == 0 && intact.output == "intact: 0 records, 0 checkpoints, 0 behind the last one\n")
            #expect(broker.fake.calls.lines == ["verify after=nothing", "verify after=3", "verify after=5"])
            let finding = AuditFinding(.altered, 7, "record 7 is not what was recorded\u{1B}[2K")
            broker.fake.setChain([stretch.report(nil, next: 3), AuditReport(finding)])
            let bad = try await broker.daypass("audit", "verify")
            #expect(bad.status == 1 && bad.output == "")
            #expect(bad.error == "daypass: record 7 is not what was recorded\\u{1B}[2K\n", "\(bad.error)")
            broker.fake.setChain([AuditReport(finding)])
            let json = try await broker.daypass("audit", "verify", "--json")
            #expect(json.status == 1)
            let object = try JSONReader.readObject(Array(json.output.utf8))
            #expect(object["intact"] == false && object["finding"]?.object?["sequence"] == 7, "\(json.output)")
        }
    }

    @Test func `says how many records were signed late, in all stretches together`() async throws {
        let (masterKey, _) = try MasterKey.generate()
        let record = try CheckpointKey.generate(sealedWith: masterKey, at: Sample.time)
        let keys = try #require(try CheckpointKeys(opening: [record], with: masterKey))
        let columns = AuditColumns(time: 0)
        let hash = AuditChain().hash(after: AuditChain.start, sequence: 1, columns.bytes)
        var stretch = AuditVerification(after: nil, keys: keys, remembering: nil)
        #expect(stretch.check(1, hash: hash.span, columns.bytes) == nil)
        let late = try Checkpoint(
            Checkpoint.Place(sequence: 1, hash: hash, count: 1), after: nil, generation: 1, signedWith: keys.signing,
            at: Date(timeIntervalSince1970: 301))
        #expect(stretch.check(late) == nil)
        let reports = [stretch.report(nil, next: 3), AuditReport()]
        try await AdministeredBroker.run { broker in
            broker.fake.setChain(reports + reports)
            let done = try await broker.daypass("audit", "verify")
            #expect(done.status == 0)
            #expect(
                done.output == """
                    intact: 1 record, 1 checkpoint, 0 behind the last one
                    signed late: 1 record, the first by checkpoint 1; what was done to them before that, only a copy of \
                    audit.file shows

                    """)
            let json = try await broker.daypass("audit", "verify", "--json")
            let object = try JSONReader.readObject(Array(json.output.utf8))
            #expect(object["late"]?.object == ["records": 1, "checkpoint": 1], "\(json.output)")
        }
    }

    @Test func `against a file that the store agrees with`() async throws {
        try await AdministeredBroker.run { broker in
            broker.fake.setChain([], Self.marks, Self.checkpoints, records: Self.records)
            // Records that were archived, a line that was cut off and written again, a checkpoint that is there twice, an
            // end without checkpoints that lacks some, as an export may, and one that is just being written.
            let lines = [
                Self.line(3), Self.line(4), Self.line(5), String(Self.line(6).prefix(90)), Self.line(6),
                Self.checkpoint(6), Self.checkpoint(6), "", Self.line(30), String(Self.line(31).prefix(40)),
            ]
            let file = broker.workspace.path("audit.jsonl")
            try broker.workspace.write("audit.jsonl", lines.joined(separator: "\n"))
            let done = try await broker.daypass("audit", "verify", "--against", file)
            #expect(done.status == 0, "\(done.error)")
            #expect(
                done.output == """
                    intact: 0 records, 0 checkpoints, 0 behind the last one
                    the same in the file: 3 records, 2 checkpoints, and 2 older than what the store has, which were not \
                    compared; 23 records of those between its first and its last are not in it

                    """)
            let json = try await broker.daypass("audit", "verify", "--json", "--against", file)
            let object = try JSONReader.readObject(Array(json.output.utf8))
            #expect(object["intact"] == true && object["against"]?.object?["same"] == true, "\(json.output)")
            #expect(object["against"]?.object?["lacking"] == 23)
        }
    }

    @Test func `against a file that it contradicts, or that cannot be read, it names the line`() async throws {
        let lines = (5...20).map { Self.line($0) }
        func with(_ line: String, inPlaceOf index: Int) -> [String] {
            var changed = lines
            changed[index] = line
            return changed
        }
        let last = Self.checkpoint(20)
        let holed = Array(lines[..<4]) + Array(lines[6...]) + [last]
        let shortened = Array(lines.dropLast()) + [last]
        let leaping = Array(lines[..<2]) + [Self.checkpoint(6)] + Array(lines[2...]) + [last]
        let noRecord = ": line 3 is no audit record and no checkpoint"
        let cases: [(lines: [String], words: String)] = [
            (with(Self.line(8, 99), inPlaceOf: 3), "line 4: record 8 is another one in the store"),
            (lines + [Self.line(31)], "line 17: record 31 is not in the store, which ends before it"),
            (lines + [Self.checkpoint(20, 99)], "line 17: a checkpoint behind record 20 is another one in the store"),
            (lines + [Self.checkpoint(20, signature: 1)], "line 17: checkpoint 20 is not in the store, or another one"),
            (lines + [Self.checkpoint(19)], "line 17: checkpoint 19 is not in the store, or another one"),
            // Under its hash.
            (
                with(Self.line(8).replacingOccurrences(of: "no_rule", with: "no_role"), inPlaceOf: 3),
                "line 4: record 8 has the hash of the one in the store and other contents"
            ),
            (
                with(Self.line(8).replacingOccurrences(of: "\"got\"", with: "\"gut\""), inPlaceOf: 3),
                "line 4: record 8 has the hash of the one in the store and other contents"
            ),
            // Another one with the same members, or with one more: what counts are the bytes.
            (
                with(Self.line(8).replacing("\"reason\"", with: "\"subject\":\"corp:evil\",\"reason\""), inPlaceOf: 3),
                "line 4: record 8 has the hash of the one in the store and other contents"
            ),
            (with("  " + Self.line(7), inPlaceOf: 2), noRecord),
            (
                lines + [Self.checkpoint(20).replacing("\"count\":1", with: "\"count\":2")],
                "line 17: checkpoint 20 is not in the store, or another one"
            ),
            (
                lines + [Self.checkpoint(20).replacing("\"key\":\"k\"", with: "\"key\":\"l\"")],
                "line 17: checkpoint 20 is not in the store, or another one"
            ),
            (
                holed,
                "line 15: 2 records before checkpoint 20 are not in the file: lines were taken out"
            ),
            (
                shortened,
                "line 16: 1 record before checkpoint 20 is not in the file"
            ),
            (
                leaping,
                "line 18: checkpoint 20 stands behind checkpoint 6: those between were taken out"
            ),
            (lines + [Self.line(9)], "line 17: record 9 stands behind record 20: lines were moved or put in"),
            (lines + [Self.line(20)], "line 17: record 20 stands behind record 20"),
            (with("{}", inPlaceOf: 2), noRecord),
            (with(#"{"sequence":7,"details":{}}"#, inPlaceOf: 2), noRecord),
            (with(String(Self.line(9).prefix(80)), inPlaceOf: 2), noRecord),
            ([""], "there is no record in it"), (["{\"sequence\":5"], "there is no record in it"),
        ]
        try await AdministeredBroker.run { broker in
            for (lines, words) in cases {
                broker.fake.setChain([], Self.marks, Self.checkpoints, records: Self.records)
                try broker.workspace.write("audit.jsonl", lines.joined(separator: "\n"))
                let done = try await broker.daypass(
                    "audit", "verify", "--against", broker.workspace.path("audit.jsonl"))
                #expect(done.status == 1 && done.error.contains(words), "\(words): \(done.error)\(done.output)")
                // The store is intact all the same.
                #expect(done.output == "intact: 0 records, 0 checkpoints, 0 behind the last one\n")
            }
            broker.fake.setChain([], Self.marks, Self.checkpoints, records: Self.records)
            let json = try await broker.daypass(
                "audit", "verify", "--json", "--against", broker.workspace.path("audit.jsonl"))
            let object = try JSONReader.readObject(Array(json.output.utf8))
            let against = try #require(object["against"]?.object)
            #expect(json.status == 1 && object["intact"] == true && against["same"] == false, "\(json.output)")
            #expect(against["finding"]?.string?.string.contains("there is no record in it") == true)
            let missing = try await broker.daypass("audit", "verify", "--against", "/nowhere/x")
            #expect(missing.status == 2 && missing.error == "daypass: /nowhere/x: No such file or directory\n")
        }
    }
}
