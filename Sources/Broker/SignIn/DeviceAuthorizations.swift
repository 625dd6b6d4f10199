// Signing in on a device (RFC 8628), between the device that waits and the person who approves. A device begins; the
// person types its user code on another device, proves who he is at the company's provider and approves; the device,
// which polls meanwhile, gets what was approved, once. All of it is in memory: whoever waits over a restart begins anew.
import JOSE
package import OpenSSL
import Synchronization

/// The devices that wait for somebody to approve them. Callable from any thread; does not suspend.
///
/// It is bounded for each address, for each network and altogether, and nobody's wish makes another's go away.
package final class DeviceAuthorizations: Sendable {
    /// A device waits so long at most.
    package static let lifetime: Duration = .seconds(600)
    /// Between two polls, at first; who asks sooner has to wait 5 s longer from then on (RFC 8628 §3.5).
    package static let interval: Duration = .seconds(5)
    static let maximumInterval: Duration = .seconds(60)
    /// What two polls may come nearer to each other than they were sent.
    static let jitter: Duration = .seconds(1)
    /// How long whoever was refused is told to wait.
    static let retryAfter: Duration = .seconds(30)

    /// How many may wait. What was approved counts among all until it expires, and for no address.
    package struct Bounds: Sendable {
        package var perHolder = 64
        package var perNetwork = 1024
        /// Of an IPv6 /32.
        package var perRegistration = 8192
        package var all = 16_384

        package init() {}
    }

    private let bounds: Bounds
    private let clock: any BrokerClock
    private let random: any RandomSource
    private let guesses = GuessLimit()
    private let state = Mutex(State())

    package init(bounds: Bounds = Bounds(), clock: any BrokerClock, random: any RandomSource = SystemRandom()) {
        self.bounds = bounds
        self.clock = clock
        self.random = random
    }

    /// What a device gets that begins.
    package struct Begun: Sendable {
        package let deviceCode: SecretText
        package let userCode: UserCode
        /// For how long it may be approved.
        package let lifetime: Duration
        package let interval: Duration
    }

    /// Of `begin`.
    package enum Beginning: Sendable {
        case begun(Begun)
        /// As many wait as may, from its address or altogether.
        case refused(retryAfter: Duration)
    }

    /// Lets a device wait.
    /// - Throws: where there is no randomness.
    package func begin(
        from address: IPAddress, asking device: DeviceDescription
    ) throws(OpenSSLError) -> Beginning {
        let now = clock.uptime
        let holder = AddressGroup(holderOf: address)
        let network = AddressGroup(networkOf: address)
        let registration = AddressGroup(registrationOf: address)
        let hasRoom = state.withLock { state in
            state.forget(at: now)
            return state.hasRoom(for: holder, network, registration, bounds)
        }
        guard hasRoom else { return .refused(retryAfter: Self.retryAfter) }
        let deviceCode = try OpaqueToken(from: random)
        // 20^8 codes and some thousands that wait: the second try is one too many already.
        for _ in 0..<8 {
            let userCode = try UserCode(from: random)
            let entry = Entry(
                userCode: userCode, digest: deviceCode.digest, holder: holder, network: network,
                registration: registration,
                pending: PendingDevice(userCode: userCode, device: device, address: address.unmapped, begun: now),
                expires: now + Self.lifetime)
            let outcome = state.withLock { $0.insert(entry, bounds) }
            switch outcome {
            case .inserted:
                return .begun(
                    Begun(
                        deviceCode: deviceCode.text, userCode: userCode, lifetime: Self.lifetime,
                        interval: Self.interval))
            case .full: return .refused(retryAfter: Self.retryAfter)
            case .codeTaken: continue
            }
        }
        return .refused(retryAfter: Self.retryAfter)
    }

    /// Of `pending`.
    package enum Search: Sendable {
        case found(PendingDevice)
        /// No device waits with that code: it was mistyped, or approved, denied or too old.
        case wrong
        /// Too many wrong codes came from there: none is looked at for up to an hour.
        case limited
    }

    /// The device that waits with the code that somebody typed; wrong ones are counted for the address.
    /// - Parameter typed: as it came; case and punctuation do not count.
    package func pending(_ typed: String, from address: IPAddress) -> Search {
        let now = clock.uptime
        // Counted before it is looked at: of many at once no more than ten are.
        guard guesses.take(address, at: now) else { return .limited }
        guard let code = UserCode(typed: typed), let found = pending(code) else { return .wrong }
        guesses.giveBack(address)
        return .found(found)
    }

    /// The device that waits with that code, for whoever was shown it before; nil where none does any more. Not counted.
    package func pending(_ code: UserCode) -> PendingDevice? {
        let now = clock.uptime
        return state.withLock { state in
            guard let entry = state.entry(of: code, at: now), case .waiting = entry.stage else { return nil }
            return entry.pending
        }
    }

    /// Lets the device that waits with the code have what was approved.
    /// - Returns: false where none waits any more: too late, denied, or approved by somebody before.
    package func approve(_ code: UserCode, with approval: Approval) -> Bool {
        settle(code) { .approved(approval.given(to: $0.pending.device)) }
    }

    /// Refuses it, for good.
    /// - Returns: false where none waits any more.
    @discardableResult
    package func deny(_ code: UserCode, _ denial: DeviceDenial) -> Bool {
        settle(code) { _ in .denied(denial) }
    }

    private func settle(_ code: UserCode, as stage: (Entry) -> Entry.Stage) -> Bool {
        let now = clock.uptime
        return state.withLock { state in
            guard var entry = state.entry(of: code, at: now), case .waiting = entry.stage else { return false }
            entry.stage = stage(entry)
            // Else a company behind one address could sign in no more than so many in ten minutes. It takes somebody to
            // whom the rules grant something, so nobody fills the table with it unnamed.
            if case .approved = entry.stage { state.release(&entry) }
            state.replace(entry)
            return true
        }
    }

    /// Of `poll`.
    package enum Poll: Sendable {
        case pending
        /// It asked too soon, and has to leave 5 s more between two polls from now on.
        case slowDown
        case denied(DeviceDenial)
        /// Too old, or none that there ever was, or used before.
        case expired
        /// To be had once. Where nothing comes of it through no fault of the device, `putBack` lets it be had again.
        case approved(Approval)
    }

    /// What became of the device with that code.
    package func poll(_ deviceCode: SecretText) -> Poll {
        guard let digest = OpaqueToken(parsing: deviceCode)?.digest else { return .expired }
        let now = clock.uptime
        return state.withLock { state in
            guard var entry = state.entry(of: digest, at: now) else { return .expired }
            let waited = entry.lastPoll.map { now - $0 }
            entry.lastPoll = now
            defer { state.replace(entry) }
            if let waited, waited < entry.interval - Self.jitter {
                entry.interval = min(entry.interval + .seconds(5), Self.maximumInterval)
                return .slowDown
            }
            switch entry.stage {
            case .waiting: return .pending
            case .denied(let denial): return .denied(denial)
            case .taken: return .expired
            case .approved(let approval):
                entry.stage = .taken
                return .approved(approval)
            }
        }
    }

    /// Lets what was approved be had again by the code that had it: nothing came of it.
    func putBack(_ approval: Approval, of deviceCode: SecretText) {
        guard let digest = OpaqueToken(parsing: deviceCode)?.digest else { return }
        let now = clock.uptime
        state.withLock { state in
            guard var entry = state.entry(of: digest, at: now), case .taken = entry.stage else { return }
            entry.stage = .approved(approval)
            state.replace(entry)
        }
    }

    /// How many wait, or were approved or denied and are remembered still.
    package var count: Int { state.withLock { $0.count } }
}

/// A device that waits, as the person sees it.
package struct PendingDevice: Sendable {
    package let userCode: UserCode
    package let device: DeviceDescription
    /// From where it asked.
    package let address: IPAddress
    /// On the clock that never goes back.
    package let begun: Duration
}
