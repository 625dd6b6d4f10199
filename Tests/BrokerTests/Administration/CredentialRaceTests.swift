import Broker
import BrokerTesting
import Foundation
import JOSE
import OpenSSL
import Synchronization
import Testing

@Suite struct `Provider credentials at the same moment` {
    private let memory = MemoryStore()
    private let clock = ManualClock()
    private let masterKey: MasterKey
    private let provider: ProviderName
    private let caller = Caller.daemon

    init() throws {
        masterKey = try MasterKey.generate().0
        provider = try #require(ProviderName(parsing: "anthropic"))
    }

    private func credentials(_ store: (any ProviderCredentialStore)? = nil) -> ProviderCredentials {
        ProviderCredentials(store ?? memory, sealedWith: masterKey, clock: clock)
    }

    private static func secret(_ text: String) -> SecretBytes { SecretBytes(copying: Array(text.utf8).span) }

    /// How many of them were done.
    private func atOnce(
        _ count: Int, _ body: @escaping @Sendable (Int) async throws -> Void
    ) async -> Int {
        await withTaskGroup(of: Bool.self) { group in
            for number in 0..<count { group.addTask { (try? await body(number)) != nil } }
            return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
        }
    }

    @Test func `one secret that fifty add is there once`() async throws {
        let credentials = credentials()
        let (provider, caller) = (provider, caller)
        let done = await atOnce(50) { _ in
            _ = try await credentials.add(Self.secret("one"), to: provider, by: caller, under: TraceID())
        }
        #expect(done == 1)
        #expect(try await memory.sealedCredentials(of: provider).count == 1)
        #expect(memory.events.count == 1)
    }

    @Test func `of fifty secrets eight are kept, each with a number of its own`() async throws {
        let credentials = credentials()
        let (provider, caller) = (provider, caller)
        let done = await atOnce(50) { number in
            _ = try await credentials.add(Self.secret("secret \(number)"), to: provider, by: caller, under: TraceID())
        }
        #expect(done == 8)
        #expect(try await memory.sealedCredentials(of: provider).map(\.version.number) == Array(1...8))
    }

    /// The second of two decisions is taken upon what the first one left.
    @Test func `retiring and promoting in any order leaves one active version, which opens`() async throws {
        for round in 0..<40 {
            let memory = MemoryStore()
            let credentials = credentials(memory)
            let (provider, caller) = (provider, caller)
            for number in 1...3 {
                _ = try await credentials.add(
                    Self.secret("secret \(number)"), to: provider, by: caller, under: TraceID())
            }
            _ = try await credentials.promote(1, of: provider, by: caller, under: TraceID())
            _ = try await credentials.promote(2, of: provider, by: caller, under: TraceID())
            _ = await atOnce(30) { task in
                let number = 1 + (task + round) % 3
                if task.isMultiple(of: 2) {
                    _ = try await credentials.retire(number, of: provider, by: caller, under: TraceID())
                } else {
                    _ = try await credentials.promote(number, of: provider, by: caller, under: TraceID())
                }
            }
            let versions = try await memory.sealedCredentials(of: provider)
            #expect(versions.count { $0.version.state == .active } == 1, "\(versions.map(\.version.state))")
            #expect(versions.allSatisfy { $0.sealed.isEmpty == ($0.version.state == .retired) })
            let opened = try await credentials.open(provider)
            #expect(opened.secret == Self.secret("secret \(opened.version.number)"))
            // What the records say is what happened: followed one by one they lead to what is stored.
            var states: [Int: String] = [:]
            for event in memory.events {
                for move in event.details["versions"]?.array?.compactMap(\.object) ?? [] {
                    let number = Int(move["version"]?.number ?? 0)
                    #expect(states[number] == move["before"]?.string?.string)
                    states[number] = move["after"]?.string?.string
                }
            }
            #expect(
                states
                    == Dictionary(uniqueKeysWithValues: versions.map { ($0.version.number, $0.version.state.rawValue) })
            )
        }
    }

    private final class Tally: Sendable {
        let opened = Mutex(0)
        let isDone = Mutex(false)
    }

    /// What a gateway does, while an administrator does what Operations says: at least one request for each step.
    @Test func `whoever opens it while a key is rotated two hundred times is never refused`() async throws {
        let (credentials, provider, caller) = (credentials(), provider, caller)
        let tally = Tally()
        @Sendable func add(_ number: Int) async throws {
            _ = try await credentials.add(
                Self.secret("secret \(number)"), to: provider, by: caller, under: TraceID())
        }
        @Sendable func letOthersOpen() async {
            let before = tally.opened.withLock { $0 }
            while tally.opened.withLock({ $0 }) < before + 2, !Task.isCancelled { await Task.yield() }
        }
        try await add(1)
        _ = try await credentials.promote(nil, of: provider, by: caller, under: TraceID())
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<2 {
                group.addTask {
                    while !tally.isDone.withLock({ $0 }) {
                        let found = try await credentials.open(provider)
                        #expect(found.secret == Self.secret("secret \(found.version.number)"))
                        tally.opened.withLock { $0 += 1 }
                        // Nothing of this waits: without it whoever rotates would never have his turn.
                        await Task.yield()
                    }
                }
            }
            group.addTask {
                defer { tally.isDone.withLock { $0 = true } }
                for number in 2...201 {
                    try await add(number)
                    _ = try await credentials.promote(nil, of: provider, by: caller, under: TraceID())
                    await letOthersOpen()
                    _ = try await credentials.retire(number - 1, of: provider, by: caller, under: TraceID())
                    await letOthersOpen()
                }
            }
            try await group.waitForAll()
        }
        #expect(tally.opened.withLock { $0 } >= 400)
        #expect(try await credentials.open(provider).version.number == 201)
    }

    /// Another one is promoted between the decision and its being stored, once or always.
    private final class Meddled: ProviderCredentialStore {
        let base: MemoryStore
        let meddle: @Sendable (CredentialChange) async throws -> Void

        init(_ base: MemoryStore, _ meddle: @escaping @Sendable (CredentialChange) async throws -> Void) {
            self.base = base
            self.meddle = meddle
        }

        func sealedCredentials(of provider: ProviderName) async throws(StoreFailure) -> [SealedCredential] {
            try await base.sealedCredentials(of: provider)
        }
        func credentialVersions(
            of provider: ProviderName?, after position: CredentialPosition?, limit: Int
        ) async throws(StoreFailure) -> [CredentialVersion] {
            try await base.credentialVersions(of: provider, after: position, limit: limit)
        }
        func countCredentialProviders() async throws(StoreFailure) -> Int {
            try await base.countCredentialProviders()
        }
        func apply(_ change: CredentialChange, _ event: AuditEvent) async throws(StoreFailure) {
            try? await meddle(change)
            try await base.apply(change, event)
        }
        func record(_ uses: [CredentialUse]) async throws(StoreFailure) { try await base.record(uses) }
    }

    @Test func `a version that is promoted while it is to be retired stays`() async throws {
        let (plain, provider, caller) = (credentials(), provider, caller)
        for text in ["one", "two"] {
            _ = try await plain.add(Self.secret(text), to: provider, by: caller, under: TraceID())
        }
        _ = try await plain.promote(1, of: provider, by: caller, under: TraceID())
        _ = try await plain.promote(2, of: provider, by: caller, under: TraceID())
        let meddled = credentials(
            Meddled(memory) { _ in _ = try await plain.promote(1, of: provider, by: caller, under: TraceID()) })
        await #expect(throws: CredentialFailure.self) {
            _ = try await meddled.retire(1, of: provider, by: caller, under: TraceID())
        }
        #expect(try await plain.open(provider).secret == Self.secret("one"))
    }

    @Test func `what is changed by others all the time ends, in words`() async throws {
        let (plain, provider, caller) = (credentials(), provider, caller)
        for text in ["one", "two", "three"] {
            _ = try await plain.add(Self.secret(text), to: provider, by: caller, under: TraceID())
        }
        let memory = memory
        let meddled = credentials(
            Meddled(memory) { change in
                // Whichever is active: another one.
                let active = try await memory.sealedCredentials(of: provider).first { $0.version.state == .active }
                let next = active?.version.number == 1 ? 2 : 1
                _ = try await plain.promote(next, of: provider, by: caller, under: TraceID())
            })
        let failure = await #expect(throws: CredentialFailure.self) {
            _ = try await meddled.promote(3, of: provider, by: caller, under: TraceID())
        }
        #expect(failure?.description == "the credential of anthropic is being changed by others")
    }

    @Test func `of what a failing store was asked nothing is said to be done`() async throws {
        let (credentials, provider, caller) = (credentials(), provider, caller)
        _ = try await credentials.add(Self.secret("one"), to: provider, by: caller, under: TraceID())
        memory.fail(with: StoreFailure(.unavailable, "test", cause: "no disk"))
        for act in 0..<5 {
            let failure = await #expect(throws: CredentialFailure.self) {
                switch act {
                case 0: _ = try await credentials.add(Self.secret("x"), to: provider, by: caller, under: TraceID())
                case 1: _ = try await credentials.promote(1, of: provider, by: caller, under: TraceID())
                case 2: _ = try await credentials.retire(1, of: provider, by: caller, under: TraceID())
                case 3: _ = try await credentials.open(provider)
                default: _ = try await credentials.list(of: nil, after: nil, limit: 1)
                }
            }
            #expect(failure?.description.contains("no disk") == true)
        }
        memory.fail(with: nil)
        #expect(try await credentials.list(of: nil, after: nil, limit: 9).map(\.state) == [.staged])
    }
}
