package import JOSE
import SPIFFE

/// What one reading of the configuration says otherwise than another, by names.
package struct ConfigurationDifference: Sendable, Hashable {
    package typealias Names = AdministrationAPI.ConfigurationDifference.Names

    package let rules: Names
    package let issuers: Names
    package let trustDomains: Names
    /// Whether rules that are in both stand in another order: the first that matches counts.
    package let areRulesReordered: Bool
    /// Sections that differ and that only a restart puts into force.
    package let needsRestart: [String]

    package init(from old: BrokerConfiguration, to new: BrokerConfiguration) {
        rules = Names(old.rules.rules, new.rules.rules, by: \.name) { $0 == $1 }
        issuers = Names(old.issuers, new.issuers, by: \.name.text) { $0 == $1 }
        trustDomains = Names(old.trustDomains, new.trustDomains, by: \.name.name) { $0 == $1 }
        let (before, after) = (old.rules.rules.map(\.name), new.rules.rules.map(\.name))
        areRulesReordered =
            before.filter(Set(after).contains) != after.filter(Set(before).contains)
        let sections = [
            ("server", old.server == new.server), ("tokens", old.tokens == new.tokens),
            ("verify", old.verify == new.verify), ("store", old.store == new.store),
            ("audit", old.audit == new.audit), ("master_key_file", old.masterKeyFile == new.masterKeyFile),
            ("sign_in", old.signIn == new.signIn),
        ]
        needsRestart = sections.filter { !$0.1 }.map(\.0)
    }

    /// Whether rules, issuers and trust domains are the same.
    package var isEmpty: Bool {
        rules.isEmpty && issuers.isEmpty && trustDomains.isEmpty && !areRulesReordered
    }

    /// What takes back what was granted by what is gone or changed.
    package var offers: [AdministrationAPI.ConfigurationDifference.Offer] {
        let domains = (trustDomains.removed + trustDomains.changed).map { ExactString("spiffe://\($0)") }
        return (rules.removed + rules.changed).map { .init(.rule, $0) }
            + (issuers.removed + issuers.changed + domains).map { .init(.issuer, $0) }
    }

    /// The same as commands.
    package var revocations: [String] {
        offers.map { "daypass revoke \($0.kind.rawValue) \($0.value)" }
    }

    /// For the audit record.
    package var json: JSONObject {
        [
            "rules": rules.json, "issuers": issuers.json, "trust_domains": trustDomains.json,
            "reordered": .bool(areRulesReordered),
        ]
    }
}

extension ConfigurationDifference.Names {
    fileprivate init<Element>(
        _ old: [Element], _ new: [Element], by name: (Element) -> ExactString, isSame: (Element, Element) -> Bool
    ) {
        let before = Dictionary(old.map { (name($0), $0) }) { first, _ in first }
        let after = Set(new.map(name))
        self.init(
            added: new.map(name).filter { before[$0] == nil }, removed: old.map(name).filter { !after.contains($0) },
            changed: new.filter { element in before[name(element)].map { !isSame($0, element) } ?? false }.map(name))
    }
}

extension AdministrationAPI.ConfigurationDifference {
    /// - Parameter warnings: those of the new configuration by itself.
    package init(_ difference: ConfigurationDifference, warnings: [String]) {
        var all = warnings
        if difference.areRulesReordered {
            all.append("the rules stand in another order: the first that matches counts")
        }
        all += difference.needsRestart.map { "\($0) differs, which needs a restart" }
        self.init(
            rules: difference.rules, issuers: difference.issuers, trustDomains: difference.trustDomains, warnings: all,
            revocations: difference.offers)
    }
}
