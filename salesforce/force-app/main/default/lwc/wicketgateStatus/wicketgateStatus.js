import { LightningElement, api } from 'lwc';
import LightningConfirm from 'lightning/confirm';
import { registerRefreshHandler, unregisterRefreshHandler } from 'lightning/refresh';
import maySync from '@salesforce/customPermission/Wicketgate_Sync';
import mayLink from '@salesforce/customPermission/Wicketgate_Link';
import mayStop from '@salesforce/customPermission/Wicketgate_Stop';
import askStatus from '@salesforce/apex/WicketgateStatus.status';
import askSync from '@salesforce/apex/WicketgateStatus.sync';
import askLink from '@salesforce/apex/WicketgateStatus.link';
import askStop from '@salesforce/apex/WicketgateStatus.stop';

/* Word, shape and sentence of each state; colour only repeats them. */
const STATES = {
    in_sync: ['In sync', '●', 'Both records hold what was agreed.'],
    waiting: ['Waiting', '◐', 'A change is on its way.'],
    parked: ['Parked', '▲', 'The sync of this record stands still until somebody acts.'],
    stopped: ['Stopped', '■', 'Changes do not flow until somebody starts the sync again.']
};

const OUTCOMES = {
    skipped: 'Its last change was skipped',
    unchanged: 'Its last change held nothing to send',
    superseded: 'Its last change went with a newer one',
    sent: 'Its last change was sent',
    applied: 'The last change from the other side was applied',
    parked: 'Its last change is parked'
};

/* A partner chooses the address: nothing but a web page is made a link. */
function safe(url) {
    return /^https?:\/\//i.test(url ?? '') ? url : undefined;
}

function named(remote) {
    return remote ? `${remote.entity_type} ${remote.key}` : 'The other side has not named its record yet.';
}

/* What holds the twin up, here or on the other side. */
function trouble({ error, remote_outcome: theirs }) {
    if (error) return error;
    if (theirs?.outcome !== 'parked') return undefined;
    return { title: theirs.title ?? 'The other side parked it.', advice: 'It is held up on the other side: the people there see why.' };
}

function shown(twin, stopping) {
    const [state, mark, explained] = STATES[twin.status] ?? [twin.status, '○', ''];
    const stopped = twin.status === 'stopped';
    const syncLabel = stopped ? 'Start sync' : 'Sync now';
    return {
        ...twin,
        state,
        mark,
        explained,
        error: trouble(twin),
        stateClass: `state ${twin.status}`,
        href: safe(twin.remote?.url),
        remoteText: named(twin.remote),
        syncLabel,
        syncAria: `${syncLabel} with ${twin.connection}`,
        stopAria: `Stop sync with ${twin.connection}`,
        mayStop: stopping && !stopped
    };
}

function reason(error) {
    return error?.body?.message ?? error?.message ?? 'Something went wrong. Load the panel again.';
}

/**
 * How a record stands in Wicketgate. A button is shown where the page's builder offers it and the reader has its
 * permission; the server asks for the permission again.
 */
export default class WicketgateStatus extends LightningElement {
    @api title = 'Wicketgate';
    @api showSync = false;
    @api showLink = false;
    @api showStop = false;

    told;
    message = '';
    failure = '';
    busy = false;
    linking;
    remoteType = 'issue';
    remoteKey = '';
    _recordId;
    refreshing;
    /* Answers that come late, for a record that is no longer shown, are dropped. */
    asked = 0;

    @api
    get recordId() {
        return this._recordId;
    }

    set recordId(id) {
        if (id === this._recordId) return;
        this._recordId = id;
        this.told = undefined;
        this.closeLink();
        if (this.isConnected) this.load();
    }

    connectedCallback() {
        this.refreshing = registerRefreshHandler(this, () => this.load());
        if (!this.told) this.load();
    }

    disconnectedCallback() {
        unregisterRefreshHandler(this.refreshing);
    }

    get loading() {
        return this.busy && !this.told;
    }

    get busyText() {
        return this.busy ? 'true' : 'false';
    }

    get nothing() {
        return this.told.twins.length === 0;
    }

    get twins() {
        return this.told.twins.map((twin) => shown(twin, this.mayStop));
    }

    get connections() {
        const several = this.told.connections.length > 1;
        return this.told.connections.map(({ id, name }) => ({
            id,
            syncLabel: several ? `Sync with ${name}` : 'Sync now',
            linkLabel: several ? `Link existing on ${name}` : 'Link existing'
        }));
    }

    get ending() {
        const last = this.told.last;
        if (this.told.waiting > 0) return 'A change waits to be looked at.';
        if (!last) return 'No change of this record has reached Wicketgate yet.';
        const how = OUTCOMES[last.outcome] ?? `Its last change ended as ${last.outcome}`;
        return last.reason ? `${how}: ${last.reason}` : `${how}.`;
    }

    get maySync() {
        return this.showSync && maySync === true;
    }

    get mayLink() {
        return this.showLink && mayLink === true;
    }

    get mayStop() {
        return this.showStop && mayStop === true;
    }

    load() {
        if (!this._recordId) return Promise.resolve();
        return this.ask(askStatus({ recordId: this._recordId }), '');
    }

    reload() {
        return this.load();
    }

    sync(event) {
        const { connection } = event.currentTarget.dataset;
        return this.ask(askSync({ recordId: this._recordId, connectionId: connection }), 'The sync of this record was asked for.');
    }

    async stop(event) {
        const { twin } = event.currentTarget.dataset;
        const sure = await LightningConfirm.open({
            label: 'Stop sync',
            message: 'Changes of this record will no longer flow in either direction. Both records stay as they are, and the sync can be started again.',
            theme: 'warning'
        });
        if (sure) await this.ask(askStop({ recordId: this._recordId, twinId: twin }), 'The sync of this record was stopped.');
    }

    openLink(event) {
        this.linking = event.currentTarget.dataset.connection;
    }

    closeLink() {
        this.linking = undefined;
        this.remoteKey = '';
    }

    typed(event) {
        this[event.target.name] = event.detail.value;
    }

    async link() {
        const fields = [...this.template.querySelectorAll('lightning-input')];
        if (!fields.map((field) => field.reportValidity()).every(Boolean)) return;
        const question = { recordId: this._recordId, connectionId: this.linking, remoteType: this.remoteType, remoteKey: this.remoteKey };
        if (await this.ask(askLink(question), 'The two records are linked.')) this.closeLink();
    }

    /* What was typed stays where the answer is a no. */
    async ask(question, done) {
        const number = ++this.asked;
        this.busy = true;
        this.failure = '';
        this.message = '';
        try {
            const told = JSON.parse(await question);
            if (number !== this.asked) return false;
            this.told = told;
            this.message = done;
            return true;
        } catch (error) {
            if (number === this.asked) this.failure = reason(error);
            return false;
        } finally {
            if (number === this.asked) this.busy = false;
        }
    }
}
