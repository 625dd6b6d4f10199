// The secrets that providers know us by, on their way: staged → active → draining → retired. Every step is one transaction
// with its audit record. A secret comes in by `add` and leaves by `open` alone, which no route and no command calls.
import FoundationEssentials
import JOSE
package import OpenSSL
import Synchronization

/// The credentials of providers, in versions, sealed under the master key.
///
/// What the store holds is the truth, and is read for each decision. A change that was decided upon something else is not
/// made, and decided anew: any number of callers may change one credential at the same moment.
package final class ProviderCredentials: Sendable {
    /// Of a secret, in bytes.
    package static let maximumLength = 65_536
    /// Of how many providers there may be versions.
    package static let maximumProviders = 100
    /// How often a decision is taken anew where others change the same credential.
    private static let attempts = 100

    private let store: any ProviderCredentialStore
    private let masterKey: MasterKey
    private let clock: any BrokerClock
    /// Uses that are not recorded yet, at most one for each version that is not retired.
    private let uses = Mutex<[CredentialPosition: CredentialUse]>([:])

    package init(_ store: any ProviderCredentialStore, sealedWith masterKey: MasterKey, clock: any BrokerClock) {
        self.store = store
        self.masterKey = masterKey
        self.clock = clock
    }

    /// Keeps `secret` as the next version of the provider's credential, staged: nothing uses it yet.
    package func add(
        _ secret: SecretBytes, to provider: ProviderName, by caller: Caller, under trace: TraceID
    ) async throws(CredentialFailure) -> CredentialVersion {
        guard (1...Self.maximumLength).contains(secret.count) else { throw .length(secret.count) }
        for _ in 0..<Self.attempts {
            let known = try await versions(of: provider)
            if known.isEmpty { try await checkRoom() }
            let live = known.filter { $0.version.state != .retired }
            // One that does not open cannot be compared; `promote` and the start say that it is damaged.
            if let same = live.first(where: { (try? open($0)) == secret }) { throw .duplicate(same.version) }
            guard live.count < CredentialVersion.maximumLive else { throw .tooManyVersions(provider) }
            let (number, now) = (1 + (known.map(\.version.number).max() ?? 0), clock.now)
            let version = CredentialVersion(
                provider: provider, number: number, state: .staged, masterKeyID: masterKey.id, created: now, since: now,
                caller: caller)
            let sealed = try seal(secret, as: version)
            let change = CredentialChange(provider, .add(sealed), at: now)
            if try await apply(change, .credentialAdded, by: caller, under: trace) { return version }
        }
        throw .busy(provider)
    }

    /// What a promotion did.
    package struct Promoted: Sendable {
        package let active: CredentialVersion
        /// The one that was active before.
        package let draining: CredentialVersion?
        /// False where it was active already.
        package let isNew: Bool
    }

    /// Lets requests begin with that version from now on, and the active one drain. Nothing happens where it is active.
    /// - Parameter number: nil for the one that is staged.
    /// - Throws: also where it does not open: nothing could use it then.
    package func promote(
        _ number: Int?, of provider: ProviderName, by caller: Caller, under trace: TraceID
    ) async throws(CredentialFailure) -> Promoted {
        for _ in 0..<Self.attempts {
            let known = try await versions(of: provider)
            let number = if let number { number } else { try Self.staged(of: provider, in: known) }
            let found = try Self.version(number, of: provider, in: known)
            let former = known.first { $0.version.state == .active }?.version
            switch found.version.state {
            case .active: return Promoted(active: found.version, draining: nil, isNew: false)
            case .retired: throw .retired(found.version)
            case .staged, .draining: _ = try open(found)
            }
            let change = CredentialChange(
                provider, .promote(number, from: found.version.state, former: former?.number), at: clock.now)
            if try await apply(change, .credentialPromoted, by: caller, under: trace) {
                return Promoted(
                    active: found.version.moved(to: .active, at: change.time),
                    draining: former?.moved(to: .draining, at: change.time), isNew: true)
            }
        }
        throw .busy(provider)
    }

    /// Takes that version out of use for good, and erases its secret. Nothing happens where it is retired.
    /// - Parameter isRehearsal: decides the same and changes nothing; what is returned is the version as it is.
    /// - Throws: where it is the active one, or where no other could be used: the active one has to open.
    package func retire(
        _ number: Int, of provider: ProviderName, isRehearsal: Bool = false, by caller: Caller, under trace: TraceID
    ) async throws(CredentialFailure) -> CredentialVersion {
        for _ in 0..<Self.attempts {
            let known = try await versions(of: provider)
            let found = try Self.version(number, of: provider, in: known)
            let active = known.first { $0.version.state == .active }
            switch found.version.state {
            case .retired: return found.version
            case .active: throw .lastUsable(found.version)
            case .staged, .draining:
                if let active, (try? open(active)) == nil { throw .activeUnusable(active.version) }
            }
            guard !isRehearsal else { return found.version }
            let change = CredentialChange(
                provider, .retire(number, from: found.version.state, beside: active?.version.number), at: clock.now)
            if try await apply(change, .credentialRetired, by: caller, under: trace) {
                return found.version.moved(to: .retired, at: change.time)
            }
        }
        throw .busy(provider)
    }

    /// The next versions in the order of providers and numbers, with uses of this moment.
    /// - Parameter provider: nil for those of all.
    package func list(
        of provider: ProviderName?, after position: CredentialPosition?, limit: Int
    ) async throws(CredentialFailure) -> [CredentialVersion] {
        let found: [CredentialVersion]
        do {
            found = try await store.credentialVersions(of: provider, after: position, limit: limit)
        } catch {
            throw .store(error)
        }
        let uses = uses.withLock { $0 }
        return found.map { version in
            uses[CredentialPosition(version.provider, version.number)].map(version.used) ?? version
        }
    }
}

extension ProviderCredentials {
    /// A secret that is in use, and which version it is.
    package struct Opened: Sendable {
        package let version: CredentialVersion
        package let secret: SecretBytes
    }

    /// The secret of the active version, which is noted as used now. Reads the rows of one provider.
    package func open(_ provider: ProviderName) async throws(CredentialFailure) -> Opened {
        let known = try await versions(of: provider)
        guard !known.isEmpty else { throw .unknown(provider, nil) }
        guard let active = known.first(where: { $0.version.state == .active }) else { throw .noneActive(provider) }
        let secret = try open(active)
        let now = clock.now
        let position = CredentialPosition(provider, active.version.number)
        uses.withLock { uses in
            var use = uses[position] ?? CredentialUse(provider, position.number, first: now, last: now)
            use.first = min(use.first, now)
            use.last = max(use.last, now)
            uses[position] = use
        }
        return Opened(version: active.version, secret: secret)
    }

    /// Records the uses since the last time, in one transaction, however many they were. They are kept where it fails.
    package func recordUses() async throws(StoreFailure) {
        let pending = uses.withLock { $0 }
        guard !pending.isEmpty else { return }
        try await store.record(Array(pending.values))
        uses.withLock { uses in
            for (position, use) in pending where uses[position] == use { uses[position] = nil }
        }
    }

    /// Looks through every version that is not retired, for the start.
    /// - Returns: those that do not open.
    /// - Throws: at one that another master key sealed: `rewrap` was not finished.
    package static func damaged(
        among rows: [SealedRow], sealedWith masterKey: MasterKey
    ) throws(CredentialFailure) -> [CredentialVersion] {
        var damaged: [CredentialVersion] = []
        for case .providerCredential(let credential) in rows {
            do throws(CredentialFailure) {
                _ = try open(credential, with: masterKey)
            } catch {
                guard case .damaged(let version) = error else { throw error }
                damaged.append(version)
            }
        }
        return damaged
    }
}

extension ProviderCredentials {
    private func versions(of provider: ProviderName) async throws(CredentialFailure) -> [SealedCredential] {
        do {
            return try await store.sealedCredentials(of: provider)
        } catch {
            throw .store(error)
        }
    }

    private static func version(
        _ number: Int, of provider: ProviderName, in known: [SealedCredential]
    ) throws(CredentialFailure) -> SealedCredential {
        guard let found = known.first(where: { $0.version.number == number }) else { throw .unknown(provider, number) }
        return found
    }

    /// The number of the one version that is staged.
    private static func staged(
        of provider: ProviderName, in known: [SealedCredential]
    ) throws(CredentialFailure) -> Int {
        guard !known.isEmpty else { throw .unknown(provider, nil) }
        let staged = known.filter { $0.version.state == .staged }.map(\.version.number)
        guard let number = staged.first, staged.count == 1 else { throw .staged(staged, provider) }
        return number
    }

    private func checkRoom() async throws(CredentialFailure) {
        let count: Int
        do {
            count = try await store.countCredentialProviders()
        } catch {
            throw .store(error)
        }
        guard count < Self.maximumProviders else { throw .tooManyProviders }
    }

    /// - Returns: false where something else was stored meanwhile.
    private func apply(
        _ change: CredentialChange, _ kind: AuditEvent.Kind, by caller: Caller, under trace: TraceID
    ) async throws(CredentialFailure) -> Bool {
        var details: JSONObject = ["caller": .object(caller.json)]
        for member in change.json.members { _ = details.append(member.name, member.value) }
        let event = AuditEvent(
            time: change.time, trace: trace, kind: kind, issuer: nil, subject: nil, details: details)
        do {
            try await store.apply(change, event)
            return true
        } catch {
            guard error.code == .conflict else { throw .store(error) }
            return false
        }
    }

    private func seal(
        _ secret: SecretBytes, as version: CredentialVersion
    ) throws(CredentialFailure) -> SealedCredential {
        let place = SealedCredential.place(of: version.provider, version.number)
        do {
            return SealedCredential(version, sealed: try masterKey.seal(secret, for: place))
        } catch {
            throw .sealing("\(error)")
        }
    }

    private func open(_ credential: SealedCredential) throws(CredentialFailure) -> SecretBytes {
        try Self.open(credential, with: masterKey)
    }

    private static func open(
        _ credential: SealedCredential, with masterKey: MasterKey
    ) throws(CredentialFailure) -> SecretBytes {
        guard credential.version.masterKeyID == masterKey.id else {
            throw .otherMasterKey(credential.version, have: masterKey.id)
        }
        do {
            return try masterKey.open(credential.sealed, from: credential.place)
        } catch {
            throw .damaged(credential.version)
        }
    }
}
