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

    init(_ url: String?, authorities: String?) async {
        guard let url else {
            findings = [
                .problem("broker", "none is named", do: "set DAYPASS_URL to its address, or give --url")
            ]
            return
        }
        guard case .url(let origin, _, _)? = BrokerAddress(url: url, token: "") else {
            findings = [
                .problem(
                    "broker", "\(url) is no address of one",
                    do: "write an origin such as https://daypass.example.com (http only for a loopback host)")
            ]
            return
        }
        do throws(ClientFailure) {
            let metadata = try await BrokerMetadata.read(from: origin, authorities: authorities)
            self.metadata = metadata
            findings.append(.good("broker", "\(origin) answers"))
            checkName(metadata, origin)
            checkClock(metadata, at: Date())
        } catch .unreachable(let words) {
            unreachable = words
            findings.append(
                .problem(
                    "broker", words,
                    do: "check the address, the network and its proxies; a private authority needs --ca-file"))
        } catch .unusableAuthorities(let words) {
            findings.append(.problem("broker", words, do: "name a PEM file with --ca-file or DAYPASS_CA_FILE"))
        } catch .unreadable(let words) {
            findings.append(.problem("broker", words, do: "give the broker's own address, not that of the gateway"))
        } catch {
            findings.append(.problem("broker", CommandFailure(error).message, do: "ask again"))
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
        guard let date = metadata.date else { return }
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
