package import FoundationEssentials
import JOSE

extension Revocations {
    /// So many blocks are named in warnings; the others are counted.
    package static let shownBlocks = 20
    /// In characters: of a name in a warning.
    private static let shownLength = 128

    /// A line for each block in force at the moment `now` that keeps out nobody, since `configuration` has no rule, issuer
    /// or trust domain of the name that it goes by: what was only renamed is let in again. Blocks of subjects are counted
    /// by their issuers. Copies what is in force; not for the path of a request.
    package func unmatchedBlocks(in configuration: BrokerConfiguration, at now: Date) -> [String] {
        let rules = Set(configuration.rules.rules.map(\.name))
        let issuers = Set(configuration.issuerNames)
        var lines: [String] = []
        var subjects: [(issuer: IssuerName, count: Int, last: UInt64)] = []
        for block in blocks(at: now) {
            switch block.target {
            case .rule(let name) where !rules.contains(name):
                lines.append(Self.line("the rule \(Self.shown(name))", "is blocked", block.sequence))
            case .issuer(let name) where !issuers.contains(name):
                lines.append(Self.line("the issuer \(Self.shown(name.text))", "is blocked", block.sequence))
            case .subject(let subject):
                guard let issuer = IssuerName(of: subject), !issuers.contains(issuer) else { continue }
                if let index = subjects.firstIndex(where: { $0.issuer == issuer }) {
                    subjects[index].count += 1
                    subjects[index].last = block.sequence
                } else if subjects.count < Self.shownBlocks {
                    subjects.append((issuer, 1, block.sequence))
                }
            default: continue
            }
        }
        lines += subjects.map { issuer, count, last in
            Self.line(
                "the issuer \(Self.shown(issuer.text))",
                "has \(count) blocked subject\(count == 1 ? "" : "s")", last)
        }
        let others = lines.count - Self.shownBlocks
        guard others > 0 else { return lines }
        return lines.prefix(Self.shownBlocks) + ["\(others) more blocks go by names that are not configured"]
    }

    /// Of each target the last one that holds, by ascending number.
    private func blocks(at now: Date) -> [Revocation] {
        var last: [Revocation.Target: Revocation] = [:]
        for revocation in list where revocation.block?.holds(at: now) == true { last[revocation.target] = revocation }
        return last.values.sorted { $0.sequence < $1.sequence }
    }

    private static func line(_ what: String, _ state: String, _ sequence: UInt64) -> String {
        "\(what) \(state) (revocation \(sequence)) and is not configured: if it goes by another name now, nobody is kept "
            + "out until that one is blocked too"
    }

    private static func shown(_ name: ExactString) -> String {
        let text = name.string
        return text.count > shownLength ? text.prefix(shownLength) + "…" : text
    }
}
