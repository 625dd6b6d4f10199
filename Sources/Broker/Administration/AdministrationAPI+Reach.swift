package import FoundationEssentials
package import JOSE

extension AdministrationAPI {
    /// How far a revocation has got beyond this node.
    package struct Reach: Sendable, Hashable {
        /// Streams of `/v1/revocations` that are open.
        package let readers: Int
        /// Of these, to how many it was not written yet.
        package let behind: Int
        /// When the last token that is out expires: until then gateways that read nothing but the JWKS may take a revoked
        /// one; nil where none is out.
        package let offlineUntil: Date?

        package init(readers: Int, behind: Int, offlineUntil: Date?) {
            self.readers = readers
            self.behind = behind
            self.offlineUntil = offlineUntil
        }

        /// `{"readers": {"open": …, "behind": …}, "offline_until": …}`
        package var json: JSONObject {
            let readers: JSONObject = ["open": .number(Double(readers)), "behind": .number(Double(behind))]
            var json: JSONObject = ["readers": .object(readers)]
            if let offlineUntil { _ = json.append("offline_until", AdministrationAPI.json(offlineUntil)) }
            return json
        }
    }
}
