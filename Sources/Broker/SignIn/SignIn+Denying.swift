package import JOSE

extension SignIn {
    /// That somebody was shown a device and refused it: in the log, for `explain`, and counted. Whoever sends others codes is
    /// known by it, and anybody can cause it, so it is not in the audit record.
    /// - Parameters:
    ///   - address: from where the device asked.
    ///   - client: the address of the browser.
    package func noteDenial(
        of device: DeviceDescription, askedFrom address: ExactString, from client: ExactString, under trace: TraceID
    ) {
        let program = device.program.map { " by the program \"\($0)\"" } ?? ""
        let name = device.name.map { ", called \"\($0)\"" } ?? ""
        noteRefusal(
            .denied, "a person refused the device that asked from \(address)\(program)\(name)", from: client,
            under: trace)
    }
}
