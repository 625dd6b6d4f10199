import BrokerClient
import FoundationEssentials

/// Whether the broker answers, what it calls itself, and how its clock and this machine's differ.
struct BrokerFindings {
    private(set) var findings: [Finding] = []
    /// Nil where it did not answer, or something else did.
    private(set) var metadata: BrokerMetadata?
    /// Why nobody answered.
    private(set) var unreachable: String?

    /// By which a broker forgives a clock, in seconds.
    private static let leeway = 30.0

    init(_ setup: CheckedSetup) async {
        guard let url = setup.url else {
            let (words, remedy) = ("none is named", "set DAYPASS_URL to its address, or give --url")
            // A gateway may know it.
            findings = [
                setup.isOthers ? .warning("broker", words, do: remedy) : .problem("broker", words, do: remedy)
            ]
            return
        }
        guard let origin = BrokerAddress.origin(parsing: url) else {
            // Not repeated: it may hold a password.
            findings = [
                .problem(
                    "broker", "what is named as its address is none",
                    do: "write an origin such as https://daypass.example.com (http only for a loopback host)")
            ]
            return
        }
        if let other = setup.helpersOrigin, other != origin {
            findings.append(
                .problem(
                    "broker", "the helper asks \(other), and not \(origin)", do: "run daypass setup claude-code again"))
        }
        do throws(TokenFailure) {
            let metadata = try await BrokerMetadata.read(from: origin, authorities: setup.authorities)
            self.metadata = metadata
            findings.append(.good("broker", "\(origin) answers"))
            checkName(metadata, origin)
            checkClock(metadata, at: Date())
        } catch {
            let remedy: String
            switch error {
            case .unusable: remedy = "name a PEM file with --ca-file or DAYPASS_CA_FILE"
            case .unreadable: remedy = "give the broker's own address, not that of the gateway"
            default:
                unreachable = error.words
                remedy = "check the address, the network and its proxies; a private authority needs --ca-file"
            }
            findings.append(.problem("broker", error.words, do: remedy))
        }
    }

    private mutating func checkName(_ metadata: BrokerMetadata, _ origin: String) {
        guard metadata.issuer != origin else { return }
        findings.append(
            .warning(
                "broker", "\(origin) calls itself \(metadata.issuer)",
                do: "ask for identity tokens with the audience \(metadata.issuer), or set DAYPASS_URL to it"))
    }

    private mutating func checkClock(_ metadata: BrokerMetadata, at now: Date) {
        guard let date = metadata.date else {
            return findings.append(
                .warning("clock", "the answer has no date, by which it could be compared", do: "see what answers there")
            )
        }
        let ahead = now.timeIntervalSince(date)
        // The header has no fractions.
        guard abs(ahead) > Self.leeway + 1 else {
            return findings.append(.good("clock", "as the broker's"))
        }
        let seconds = Int(abs(ahead).rounded())
        findings.append(
            .problem(
                "clock", "this machine's is \(seconds) s \(ahead > 0 ? "ahead of" : "behind") the broker's",
                do: "synchronise it (timedatectl set-ntp true): tokens seem to end at another time than they do"))
    }
}
