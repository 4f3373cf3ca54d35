const { configs } = require('@salesforce/eslint-config-lwc');

module.exports = [
    { ignores: ['node_modules/**', 'jest.config.js', 'eslint.config.js'] },
    ...configs.recommended
];
