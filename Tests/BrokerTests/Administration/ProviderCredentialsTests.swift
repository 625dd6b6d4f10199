import Broker
import BrokerTesting
import Foundation
import JOSE
import OpenSSL
import Testing

@Suite struct `Provider credentials` {
    private let memory = MemoryStore()
    private let clock = ManualClock()
    private let masterKey: MasterKey
    private let credentials: ProviderCredentials
    private let provider: ProviderName
    private let caller = Caller.socket(uid: 1000, loginUID: 4711, pid: 7)
    private let trace = TraceID()

    init() throws {
        masterKey = try MasterKey.generate().0
        credentials = ProviderCredentials(memory, sealedWith: masterKey, clock: clock)
        provider = try #require(ProviderName(parsing: "anthropic"))
    }

    private static func secret(_ text: String) -> SecretBytes { SecretBytes(copying: Array(text.utf8).span) }

    private func add(_ text: String, to other: ProviderName? = nil) async throws -> CredentialVersion {
        try await credentials.add(Self.secret(text), to: other ?? provider, by: caller, under: trace)
    }

    @discardableResult
    private func promote(_ number: Int) async throws -> ProviderCredentials.Promoted {
        try await credentials.promote(number, of: provider, by: caller, under: trace)
    }

    @discardableResult
    private func retire(_ number: Int) async throws -> CredentialVersion {
        try await credentials.retire(number, of: provider, by: caller, under: trace)
    }

    /// What a rehearsal says; nothing changes by it.
    private func rehearse(_ number: Int) async throws -> CredentialVersion {
        let (states, count) = (try await states(), memory.events.count)
        let version = try await credentials.retire(number, of: provider, isRehearsal: true, by: caller, under: trace)
        #expect(try await self.states() == states)
        #expect(memory.events.count == count)
        return version
    }

    private func states() async throws -> [CredentialVersion.State] {
        try await credentials.list(of: provider, after: nil, limit: 100).map(\.state)
    }

    /// Why `body` fails, in words.
    private func failure(_ body: () async throws -> Void) async -> String {
        do {
            try await body()
        } catch {
            return "\(error)"
        }
        Issue.record("it was done")
        return ""
    }

    @Test func `are staged, become active, drain and are retired, and the active one is what is opened`() async throws {
        let first = try await add("one")
        #expect(first.number == 1 && first.state == .staged && first.created == clock.now)
        #expect(first.caller == caller && first.masterKeyID == masterKey.id)
        #expect(await failure { _ = try await credentials.open(provider) }.contains("is active: promote one"))
        #expect(try await promote(1).draining == nil)
        #expect(try await credentials.open(provider).secret == Self.secret("one"))

        clock.advance(by: .seconds(60))
        #expect(try await add("two").number == 2)
        #expect(try await credentials.open(provider).version.number == 1)
        let promoted = try await promote(2)
        #expect(promoted.active.number == 2 && promoted.active.since == clock.now)
        #expect(promoted.draining?.number == 1 && promoted.draining?.state == .draining)
        let opened = try await credentials.open(provider)
        #expect(opened.version.number == 2 && opened.secret == Self.secret("two"))

        // And back, while the other is still there.
        try await promote(1)
        #expect(try await states() == [.active, .draining])
        try await promote(2)
        let retired = try await retire(1)
        #expect(retired.state == .retired && retired.since == clock.now)
        #expect(try await states() == [.retired, .active])
        #expect(try await memory.sealedCredentials(of: provider).map(\.sealed.isEmpty) == [true, false])
        #expect(await failure { try await promote(1) }.contains("is retired, and its secret erased"))
    }

    @Test func `are recorded each time with who did it and the states before and after`() async throws {
        _ = try await add("one")
        try await promote(1)
        _ = try await add("two")
        try await promote(2)
        try await retire(1)
        let kinds: [AuditEvent.Kind] = [
            .credentialAdded, .credentialPromoted, .credentialAdded, .credentialPromoted, .credentialRetired,
        ]
        #expect(memory.events.map(\.kind) == kinds)
        #expect(memory.events.allSatisfy { $0.trace == trace })
        let who: JSONValue = ["by": "socket", "uid": 1000, "pid": 7, "login_uid": 4711]
        #expect(
            memory.events[3].details == [
                "caller": who, "provider": "anthropic",
                "versions": [
                    ["version": 1, "before": "active", "after": "draining"],
                    ["version": 2, "before": "staged", "after": "active"],
                ],
            ])
        #expect(
            memory.events[0].details == [
                "caller": who, "provider": "anthropic",
                "versions": [["version": 1, "before": .null, "after": "staged"]],
            ])
        #expect(
            memory.events[4].details["versions"] == [["version": 1, "before": "draining", "after": "retired"]])
        for event in memory.events {
            let text = String(decoding: event.details.encoded(), as: UTF8.self)
            #expect(!text.contains("one") && !text.contains("two"))
        }
    }

    @Test func `without a number the one that is staged is promoted, and none where there is not just one`()
        async throws
    {
        func promote() async throws -> Int {
            try await credentials.promote(nil, of: provider, by: caller, under: trace).active.number
        }
        #expect(await failure { _ = try await promote() } == "there is no credential of anthropic")
        _ = try await add("one")
        #expect(try await promote() == 1)
        #expect(await failure { _ = try await promote() } == "no version of the credential of anthropic is staged")
        _ = try await add("two")
        _ = try await add("three")
        #expect(
            await failure { _ = try await promote() }
                == "versions 2, 3 of the credential of anthropic are staged: say which one")
        #expect(try await states() == [.active, .staged, .staged])
    }

    /// Any bytes are a secret.
    @Test(
        arguments: [
            [0], [0, 0, 0], [10], Array("sk-ant\nsk-ant\r\n".utf8), [0xFF, 0xFE, 0x80],
            [UInt8](repeating: 7, count: 65_536),
            (0...255).map { UInt8($0) },
        ] as [[UInt8]])
    func `come back to the byte`(_ bytes: [UInt8]) async throws {
        let added = try await credentials.add(
            SecretBytes(copying: bytes.span), to: provider, by: caller, under: trace)
        try await promote(added.number)
        let opened = try await credentials.open(provider).secret
        let expected = SecretBytes(copying: bytes.span)
        #expect(opened == expected)
        let stored = try #require(try await memory.sealedCredentials(of: provider).first)
        #expect(stored.sealed.count == bytes.count + 28)
        if bytes.count >= 16 { #expect(Data(stored.sealed).range(of: Data(bytes.prefix(16))) == nil) }
    }

    @Test(arguments: [0, 65_537]) func `of no bytes or too many are refused`(_ count: Int) async throws {
        let bytes = [UInt8](repeating: 7, count: count)
        let words = await failure {
            _ = try await credentials.add(SecretBytes(copying: bytes.span), to: provider, by: caller, under: trace)
        }
        #expect(words == (count == 0 ? "the secret is empty" : "a secret has 1 to 65536 bytes"))
        #expect(memory.events.isEmpty)
    }

    @Test func `that are there already are refused until that version is retired, and other providers may have them`()
        async throws
    {
        _ = try await add("one")
        #expect(
            await failure { _ = try await add("one") }
                == "this secret is there already: version 1 of the credential of anthropic, staged")
        try await promote(1)
        #expect(await failure { _ = try await add("one") }.hasSuffix("anthropic, active"))
        _ = try await add("two")
        try await promote(2)
        #expect(await failure { _ = try await add("one") }.hasSuffix("anthropic, draining"))
        let openai = try #require(ProviderName(parsing: "openai"))
        #expect(try await add("one", to: openai).number == 1)
        try await retire(1)
        #expect(try await add("one").number == 3)
        #expect(memory.events.count == 7)
    }

    @Test func `never leave a provider that has an active version without one`() async throws {
        _ = try await add("one")
        try await promote(1)
        let last = "version 1 of the credential of anthropic is the active one: promote another one first"
        #expect(await failure { try await retire(1) } == last)
        _ = try await add("two")
        // A staged one is none that requests use.
        #expect(await failure { try await retire(1) } == last)
        #expect(await failure { _ = try await rehearse(1) } == last)
        #expect(await failure { _ = try await rehearse(3) } == "there is no version 3 of the credential of anthropic")
        #expect(try await rehearse(2).state == .staged)
        try await retire(2)
        #expect(try await states() == [.active, .retired])
        #expect(await failure { try await retire(1) } == last)
        #expect(await failure { try await retire(3) } == "there is no version 3 of the credential of anthropic")
        let openai = try #require(ProviderName(parsing: "openai"))
        #expect(
            await failure { _ = try await credentials.open(openai) } == "there is no credential of openai")
        #expect(memory.events.map(\.kind).count { $0 == .credentialRetired } == 1)
    }

    @Test func `that do not open are not promoted, and none is retired while the active one does not`() async throws {
        for text in ["one", "two", "three"] { _ = try await add(text) }
        try await promote(1)
        try await promote(2)
        let rows = try await memory.sealedRows()
        func damage(_ row: SealedRow) async throws {
            var sealed = row.sealed
            sealed[sealed.count - 1] ^= 1
            try await memory.reseal(row, as: sealed, under: masterKey.id, Sample.keyEvent(.secretResealed))
        }
        try await damage(rows[2])
        #expect(
            await failure { try await promote(3) }
                == "version 3 of the credential of anthropic does not open: its row was altered or damaged")
        try await damage(rows[1])
        #expect(
            await failure { try await retire(1) }.contains("version 2 of the credential of anthropic is the active"))
        let rehearsed = await failure { _ = try await rehearse(1) }
        #expect(rehearsed.hasPrefix("version 2 of the credential of anthropic is the active one and does not open"))
        #expect(try await states() == [.draining, .active, .staged])
        // The way out: back to the one that opens.
        try await promote(1)
        try await retire(2)
        try await retire(3)
        let damaged = try ProviderCredentials.damaged(among: try await memory.sealedRows(), sealedWith: masterKey)
        #expect(damaged.isEmpty)
    }

    @Test func `of another row, provider or master key do not open`() async throws {
        _ = try await add("one")
        _ = try await add("two")
        let openai = try #require(ProviderName(parsing: "openai"))
        _ = try await add("three", to: openai)
        let rows = try await memory.sealedRows()
        // Two versions of one provider exchanged, and one put in another provider's place.
        for (target, source) in [(0, 1), (2, 0)] {
            try await memory.reseal(
                rows[target], as: rows[source].sealed, under: masterKey.id, Sample.keyEvent(.secretResealed))
        }
        let damaged = try ProviderCredentials.damaged(among: try await memory.sealedRows(), sealedWith: masterKey)
        #expect(damaged.map { "\($0.provider) \($0.number)" } == ["anthropic 1", "openai 1"])
        let other = try MasterKey.generate().0
        let failure = #expect(throws: CredentialFailure.self) {
            try ProviderCredentials.damaged(among: rows, sealedWith: other)
        }
        #expect(
            failure?.description
                == "version 1 of the credential of anthropic was sealed with master key \(masterKey.id), "
                + "and the master key file holds \(other.id)")
    }

    @Test func `have a number of their own for good, and at most eight of a provider are not retired`() async throws {
        for number in 1...8 { #expect(try await add("secret \(number)").number == number) }
        #expect(await failure { _ = try await add("nine") }.contains("has 8 versions that are not retired"))
        for number in 5...8 { try await retire(number) }
        #expect(try await add("nine").number == 9)
        try await retire(9)
        #expect(try await add("ten").number == 10)
    }

    @Test func `are of a hundred providers at most`() async throws {
        for number in 0..<100 {
            let name = try #require(ProviderName(parsing: "p\(number)"))
            _ = try await add("secret", to: name)
        }
        #expect(await failure { _ = try await add("secret") } == "there are credentials of 100 providers already")
        let known = try #require(ProviderName(parsing: "p7"))
        #expect(try await add("another", to: known).number == 2)
    }

    @Test func `do nothing the second time: what is active or retired already stays as it was, without a record`()
        async throws
    {
        _ = try await add("one")
        _ = try await add("two")
        try await promote(1)
        try await promote(2)
        try await retire(1)
        let (events, since) = (memory.events.count, clock.now)
        clock.advance(by: .seconds(5))
        let again = try await promote(2)
        #expect(again.active.since == since && again.draining == nil)
        #expect(try await retire(1).since == since)
        #expect(memory.events.count == events)
    }

    @Test func `open under another master key when they were sealed anew, each with a record of it`() async throws {
        _ = try await add("one")
        _ = try await add("two")
        try await promote(2)
        let new = try MasterKey.generate().0
        let outcome = try await Rewrap(memory, from: masterKey, to: new, clock: clock).run(
            by: .command(uid: 0, loginUID: nil))
        #expect(outcome == Rewrap.Outcome(resealed: 2, alreadySealed: 0))
        let resealed = memory.events.filter { $0.kind == .secretResealed }
        #expect(resealed.map { $0.details["row"] } == ["anthropic/1", "anthropic/2"])
        #expect(resealed.allSatisfy { $0.details["table"] == "provider_credentials" })
        let later = ProviderCredentials(memory, sealedWith: new, clock: clock)
        #expect(try await later.open(provider).secret == Self.secret("two"))
        #expect(
            await failure { _ = try await credentials.open(provider) }.contains("was sealed with master key \(new.id)"))
        let row = try #require(try await memory.sealedRows().first)
        try await memory.reseal(row, as: [1, 2, 3], under: new.id, Sample.keyEvent(.secretResealed))
        let another = try MasterKey.generate().0
        #expect(
            await failure {
                _ = try await Rewrap(memory, from: new, to: another, clock: clock).run(
                    by: .command(uid: 0, loginUID: nil))
            } == "version 1 of the credential of anthropic does not open: its row was altered or damaged")
    }
}
