//! Reads metadata files, and knows in which order a deploy wants their elements.

use quick_xml::{Reader, events::Event};

/// An element with what is in it.
#[derive(Default)]
pub struct Element {
    pub name: String,
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    /// Those of this name.
    pub fn all<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// Text of the first of this name.
    pub fn get(&self, name: &str) -> &str {
        self.children.iter().find(|child| child.name == name).map_or("", |child| &child.text)
    }
}

/// Reads a file, and fails where it is not well-formed.
pub fn read(path: &str, text: &str) -> Element {
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let mut open = vec![Element::default()];
    loop {
        let event = reader.read_event().unwrap_or_else(|error| panic!("{path}: {error}"));
        let named = |name: &str| Element { name: name.to_owned(), ..Element::default() };
        match event {
            Event::Start(start) => open.push(named(start.name().as_ref())),
            Event::Empty(start) => open.last_mut().expect("the root").children.push(named(start.name().as_ref())),
            Event::End(_) => {
                let closed = open.pop().expect("opened");
                open.last_mut().unwrap_or_else(|| panic!("{path}: closes too much")).children.push(closed);
            }
            Event::Text(text) => {
                open.last_mut()
                    .expect("the root")
                    .text
                    .push_str(text.xml10_content().trim_matches('\n').trim_start_matches("    "));
            }
            Event::GeneralRef(name) => {
                let sign = quick_xml::escape::resolve_predefined_entity(&name).unwrap_or_else(|| panic!("{path}: {name:?}"));
                open.last_mut().expect("the root").text.push_str(sign);
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(open.len(), 1, "{path}: something is not closed");
    let mut root = open.pop().expect("the root");
    assert_eq!(root.children.len(), 1, "{path}: one root");
    root.children.pop().expect("one")
}

/// Elements of each type in the order in which a deploy wants them; those that may repeat have a star.
const ORDER: [(&str, &str); 28] = [
    ("ExternalClientApplication", "contactEmail description distributionState isProtected label"),
    ("ExtlClntAppOauthSettings", "commaSeparatedOauthScopes externalClientApplication label"),
    (
        "ExtlClntAppGlobalOauthSettings",
        "callbackUrl certificate externalClientApplication isClientCredentialsFlowEnabled isCodeCredFlowEnabled isCodeCredPostOnly \
         isConsumerSecretOptional isDeviceFlowEnabled isIntrospectAllTokens isNamedUserJwtEnabled isPkceRequired \
         isRefreshTokenRotationEnabled isSecretRequiredForRefreshToken isSecretRequiredForTokenExchange isTokenExchangeEnabled label \
         shouldRotateConsumerKey shouldRotateConsumerSecret",
    ),
    (
        "ExtlClntAppOauthConfigurablePolicies",
        "clientCredentialsFlowUser commaSeparatedPermissionSet externalClientApplication ipRelaxationPolicyType \
         isClientCredentialsFlowEnabled isGuestCodeCredFlowEnabled isTokenExchangeFlowEnabled label permittedUsersPolicyType \
         refreshTokenPolicyType requiredSessionLevel",
    ),
    ("ExtlClntAppConfigurablePolicies", "externalClientApplication isEnabled isOauthPluginEnabled label startPage"),
    ("ConnectedApp", "contactEmail description label oauthConfig oauthPolicy permissionSetName"),
    (
        "oauthConfig",
        "callbackUrl certificate isAdminApproved isClientCredentialEnabled isCodeCredentialEnabled isConsumerSecretOptional \
         isIntrospectAllTokens isPkceRequired isRefreshTokenRotationEnabled isSecretRequiredForRefreshToken \
         oauthClientCredentialUser scopes*",
    ),
    ("oauthPolicy", "ipRelaxation refreshTokenPolicy"),
    (
        "PermissionSet",
        "classAccesses* customPermissions* description externalCredentialPrincipalAccesses* fieldPermissions* hasActivationRequired \
         label objectPermissions* userPermissions*",
    ),
    ("classAccesses", "apexClass enabled"),
    ("customPermissions", "enabled name"),
    ("externalCredentialPrincipalAccesses", "enabled externalCredentialPrincipal"),
    ("fieldPermissions", "editable field readable"),
    ("objectPermissions", "allowCreate allowDelete allowEdit allowRead modifyAllRecords object viewAllRecords"),
    ("userPermissions", "enabled name"),
    ("CustomField", "fullName caseSensitive description externalId label length required type unique"),
    ("CustomPermission", "description isLicensed label"),
    ("Workflow", "outboundMessages*"),
    (
        "outboundMessages",
        "fullName apiVersion description endpointUrl fields* includeSessionId integrationUser name protected useDeadLetterQueue",
    ),
    ("Flow", "actionCalls apiVersion description environments interviewLabel label processType start status"),
    ("actionCalls", "name label locationX locationY actionName actionType flowTransactionModel nameSegment"),
    ("start", "locationX locationY connector filterFormula object recordTriggerType triggerType"),
    ("ExternalCredential", "authenticationProtocol description externalCredentialParameters* label"),
    ("externalCredentialParameters", "parameterName parameterType parameterValue sequenceNumber"),
    (
        "NamedCredential",
        "allowMergeFieldsInBody allowMergeFieldsInHeader calloutStatus generateAuthorizationHeader label namedCredentialParameters* \
         namedCredentialType",
    ),
    ("namedCredentialParameters", "externalCredential parameterName parameterType parameterValue"),
    ("labels", "fullName language protected shortDescription value"),
    ("ApexClass", "apiVersion status"),
];

/// Fails where an element is unknown, repeated or in a wrong place.
pub fn in_order(path: &str, element: &Element) {
    if let Some((name, order)) = ORDER.iter().find(|(name, _)| *name == element.name) {
        let order: Vec<&str> = order.split_whitespace().collect();
        let mut last = None;
        for child in &element.children {
            let at = order.iter().position(|known| known.trim_end_matches('*') == child.name);
            let at = at.unwrap_or_else(|| panic!("{path}: {name} has no {}", child.name));
            let again = last == Some(at) && order[at].ends_with('*');
            assert!(again || last.is_none_or(|last| at > last), "{path}: {} stands in a wrong place in {name}", child.name);
            last = Some(at);
        }
    } else {
        assert!(
            ["CustomLabels", "LightningComponentBundle", "Package", "CustomObject"].contains(&element.name.as_str()),
            "{path}: {} is not known here",
            element.name
        );
    }
    element.children.iter().filter(|child| !child.children.is_empty()).for_each(|child| {
        if ORDER.iter().any(|(name, _)| *name == child.name) {
            in_order(path, child);
        }
    });
}
